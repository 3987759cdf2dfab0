package Front::Request;

# One request of the front fuzzer as a client means it: method, URI, fields, body. Front::Http1 and
# Front::Http2 turn it into bytes, and break it.

use strict;
use warnings;
use Front::Script qw(random_actions);

use Exporter 'import';
our @EXPORT_OK = qw(any request);

sub any { return $_[rand @_] }

my @FILES = qw(file/small.txt file/large.bin file/empty page nowhere);

# What the upstream does: mostly something right.
sub _program {
    my $n = any(1, 9, 300, 5000, 70_000);
    my $m = any(1, 40, 3000);
    my $wait = 'W' . any(5, 40, 120);
    return any(
        "L$n.B$n.E", "L$n.B$n.E", "C.B$n.E", "C.B$n.B$m.E", "C.B$n.$wait.B$m.T", "B$n.X", "B$n.$wait.B$m.X", "$wait.L$n.B$n.E",
        "I.L$n.B$n.E", "L$n.B$n.B$m.E", "S204.E", "S304.E", "S404.L$n.B$n.E", "S500.C.B$n.E", 'L0.E',
        # dies, goes silent, or is wrong
        'X', "$wait.X", "L99999.B$n.X", "L99999.B$n.$wait.X", "C.B$n.X", "C.B$n.$wait.X", 'W900.X', "L99999.B$n.W900.X",
        "C.B$n.W900.X", "L$n.B1.G.X", "C.B$n.G.X", 'M.L1.B1.E', 'S101.X', 'R.L0.E', "R.L$n.B$n.E",
    );
}

# The URI's arguments name the request: all that answers it is made of them.
sub request {
    my (%o) = @_;
    my $content = any(@{ $o{contents} });
    my $rest = $content =~ /^(?:file|read|threads|try|alias|slice)$/ ? any(@FILES) : any('', '', 'x', 'a%20b/../c', 'é');
    $rest =~ s{^file/}{} if $content eq 'alias';
    my $args = "id=$o{id}&" . (rand() < 0.8 ? 'up=' . _program() . '&' : '');
    if (rand() < 0.75) {
        my @plugins = sort keys %{ $o{plugins} };
        my $name = any(@plugins);
        # Who fails is not tried for a while, and a plugin that is not tried finds nothing.
        my $traps = $o{plugins}{$name} && rand() < 0.1;
        $args .= random_actions(name => $name, traps => $traps, without => $o{without});
    }
    my $method = any(('GET') x 6, ('POST') x 4, qw(HEAD PUT DELETE OPTIONS));
    my $body = $method =~ /POST|PUT/ ? _body($o{id}) : undef;
    return { id => $o{id}, method => $method, uri => "/$content/$rest?$args", body => $body, fields => [_fields()] };
}

sub _body {
    my ($id) = @_;
    return substr "id=$id&" x 6000, 0, any(0, 1, 20, 3000, 40_000);
}

sub _fields {
    my @all = (
        ['user-agent', 'front'], ['cookie', 'a=b'], ['cookie', 'c=d'], ['accept-encoding', 'gzip'], ['range', 'bytes=2-9'],
        ['range', 'bytes=0-1,4-5,9-'], ['if-none-match', '*'], ['if-modified-since', 'Mon, 28 Sep 2099 06:00:00 GMT'],
        ['te', 'trailers'], ['content-type', 'application/grpc'], ['x-empty', ''], ['x-long', 'x' x 3000],
        ['if-range', '"x"'], ['authorization', 'Basic Zm9vOmJhcg=='],
    );
    return map { $all[rand @all] } 1 .. rand 4;
}

1;
