# country-block: refuses by the country of an address, which a file has, and reads the file again when it has changed.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;
use ProxyWasm::Module qw(repository);

my $file = do {
    open my $in, '<', repository() . '/examples/plugins/country-block/files/countries.csv' or die $!;
    local $/;
    <$in>;
};

sub conf { return '{"database": "/geo/countries.csv", "deny": ["XB"], "address_header": "x-real-ip", "reload": 50' . ($_[0] // '') . '}' }

sub from { return [GET => '/headers', headers => ['X-Real-IP' => $_[0]]] }

sub refused {
    my ($conf, $reason) = @_;
    return { name => "refused: $conf", conf => $conf, status => 503, log => qr/\[error\] .*country-block: \Q$reason\E/ };
}

test_example(
    'country-block',
    languages   => ['rust'],
    directories => ['html/geo:/geo'],
    files       => [['geo/countries.csv', $file], ['geo/wrong.csv', "192.0.2.0/24,XA\nnonsense\n"]],
    cases       => [
        { name => 'a country that is not denied', conf => conf(), request => from('192.0.2.1'),    status => 200 },
        { name => 'one that is',                  conf => conf(), request => from('198.51.100.9'), status => 403,
            body => "not from where you are\n", headers => { 'x-country' => 'XB' } },
        { name => 'in version 6',                 conf => conf(), request => from('2001:db8::1'),  status => 403 },
        { name => 'no known network',             conf => conf(), request => from('10.0.0.1'),     status => 200 },
        { name => 'no known network, denied', conf => conf(', "deny_unknown": true'), request => from('10.0.0.1'), status => 403,
            headers => { 'x-country' => 'none' } },
        { name => 'no address',    conf => conf(', "deny_unknown": true, "status": 451'), request => from('nobody'), status => 451 },
        { name => 'the address of the connection', conf => '{"database": "/geo/countries.csv", "deny": [], "deny_unknown": true}', status => 403 },
        refused('{}', 'bad configuration: missing field `database`'),
        refused('{"database": "/geo/none.csv", "deny": []}', '/geo/none.csv cannot be read: No such file or directory'),
        refused('{"database": "/etc/passwd", "deny": []}',   '/etc/passwd cannot be read: '),
        refused('{"database": "/geo/wrong.csv", "deny": []}', '/geo/wrong.csv: line 2 is not NETWORK,COUNTRY'),
    ],
    then => sub {
        my ($s) = @_;
        my $status = sub { return $s->request(GET => '/0/headers', headers => ['X-Real-IP' => '192.0.2.1'])->{status} };
        # Each case has a plugin context with ticks of its own: what one has logged, another is about to do.
        my $becomes = sub {
            my ($expected) = @_;
            for (1 .. 100) {
                last if $status->() == $expected;
                select undef, undef, undef, 0.05;
            }
            return is $status->(), $expected, 'a request sees it';
        };
        is $status->(), 200, 'a network';
        my $path = $s->html_dir . '/geo/countries.csv';
        my $put  = sub {
            open my $out, '>', "$path.new" or die $!;
            print {$out} $_[0];
            close $out or die $!;
            # A time that differs, however coarse the clock of files is.
            utime 1, $_[1], "$path.new" or die $!;
            $s->mark_log;
            rename "$path.new", $path or die $!;
        };
        $put->("192.0.2.0/24,XB\n", 100);
        ok $s->wait_for_log(qr/countries\.csv has 1 networks now/), 'it has changed, and is read again';
        $becomes->(403);
        $put->("nonsense\n", 200);
        ok $s->wait_for_log(qr/\[error\].*line 1 is not NETWORK,COUNTRY; the networks stay as they are/), 'it cannot be read';
        is $status->(), 403, 'what it said before holds';
        $s->mark_log;
        unlink $path or die $!;
        ok $s->wait_for_log(qr/\[error\].*countries\.csv cannot be read: No such file.*; the networks stay as they are/), 'it is gone';
        $put->("192.0.2.0/24,XA\n", 300);
        ok $s->wait_for_log(qr/countries\.csv has 1 networks now/), 'it is back';
        $becomes->(200);
    },
);
