# With isolation=request the instance of a request that is over serves another one, when its memory is as it was before. Nothing of the
# first is in it: the linear memories of the worker are looked through for what the request had. With isolation=worker it is there.

use lib '.';
use t::ProxyWasm;
no warnings qw(portable);
use JSON::PP qw(decode_json);

# The readable parts of linear memories: each is followed by addresses that are reserved, up to 4 GiB. Sanitizers reserve more.
sub memories {
    my ($worker) = @_;
    open my $maps, '<', "/proc/$worker/maps" or return;
    my (@found, @before);
    while (<$maps>) {
        my ($from, $to, $may) = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/ or next;
        ($from, $to) = (hex $from, hex $to);
        @before = () if @before && $before[-1][1] != $from;
        if ($may eq '---p') {
            push @found, @before if $to - $from > 1 << 31 && $to - $from < 1 << 33;
            @before = ();
        }
        else { push @before, [$from, $to] }
    }
    return @found;
}

# How often it is in them.
sub found {
    my ($worker, $what) = @_;
    open my $memory, '<:raw', "/proc/$worker/mem" or return;
    my $count = 0;
    for my $part (memories($worker)) {
        my ($from, $to) = @$part;
        sysseek $memory, $from, 0 or die "seek: $!";
        my $read = sysread $memory, my $bytes, $to - $from;
        # What the kernel itself has there cannot be read.
        $count += () = $bytes =~ /\Q$what/g if $read;
    }
    return $count;
}

for my $case (['rust-headers', 'x-rust', 'auto'], ['go-headers', 'x-go', 'on']) {
    my ($file, $mark, $image) = @$case;
    for my $isolation (qw(worker request)) {
        subtest "$file, isolation=$isolation" => sub {
            my $s = start_nginx(
                http_config => "wasm_plugin p \$TEST_NGINX_PLUGINS/$file.wasm phase=rewrite isolation=$isolation image=$image;",
                config      => 'location = /x { proxy_wasm p conf; return 200 ok; } location = /status { wasm_status; }',
            );
            my ($worker) = $s->worker_pids;
            plan skip_all => "the memory of the worker cannot be read: $!" if !defined found($worker, 'conf');
            my $plugin = sub { return decode_json($s->get('/status')->{body})->{plugins}[0] };
            cmp_ok found($worker, 'conf'), '>', 0, 'what is in memory is found';
            # The first one is served by the instance that the image is made of.
            for my $round (1 .. 5) {
                my $secret = "secret-$round-$$";
                # The beginning of what was freed belongs to the plugin's allocator.
                is $s->get('/x', "$mark-deny" => 'x' x 64 . $secret)->{status}, 403, "request $round";
                # When the next one is answered, it is over.
                $plugin->();
                my $times = found($worker, $secret);
                $isolation eq 'worker' ? cmp_ok $times, '>', 0, 'leaves what it had' : is $times, 0, 'leaves nothing';
            }
            my $now = $plugin->();
            is $now->{instances}, 1, 'the worker has an instance';
            is $now->{spare_instances}, $isolation eq 'request' ? 1 : 0, 'and that of the last request';
            $s->stop;
        };
    }
}

done_testing;
