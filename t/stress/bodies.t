# Many uploads and downloads at once, 0 to 20 MB each, through a plugin that rewrites both
# bodies: all arrive intact, memory is bounded, no descriptor or temporary file is left.
#
# Only with TEST_NGINX_STRESS, the number of requests: TEST_NGINX_STRESS=1000 moves about
# 6 GB and takes minutes.

use lib '.';
use t::ProxyWasm;
use Digest::MD5;
use File::Find ();
use Errno qw(EAGAIN EINPROGRESS);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

my $requests = $ENV{TEST_NGINX_STRESS}
    or do { plan(skip_all => 'set TEST_NGINX_STRESS to the number of requests') };

# A connection that nginx closes is a wrong response, and no reason to end.
$SIG{PIPE} = 'IGNORE';

use constant { LARGEST => 20 << 20, BLOCK => 64 << 10, DEADLINE => 900 };

# Answers what it was sent, from a file, in pieces: no body is in its memory.
my $upstream = start_nginx(
    no_module          => 1,
    lua                => 1,
    worker_connections => 4096,
    main_config        => 'worker_rlimit_nofile 20000;',
    config             => <<'E',
    location /echo {
        client_max_body_size 0;
        client_body_timeout 600s;
        send_timeout 600s;
        client_body_buffer_size 16k;
        client_body_in_file_only clean;
        lua_http10_buffering off;
        content_by_lua_block {
            ngx.req.read_body()
            local name = ngx.req.get_body_file()
            if not name then return ngx.print(ngx.req.get_body_data() or "") end
            local file = io.open(name, "rb")
            if tonumber(ngx.var.arg_length) == 1 then
                ngx.header["Content-Length"] = file:seek("end")
                file:seek("set")
            end
            while true do
                local piece = file:read(65536)
                if not piece then break end
                ngx.print(piece)
                ngx.flush(true)
            end
            file:close()
        }
    }
E
);

my $rewriting = <<'E';
    proxy_wasm rewriting '{
        "on_request_body": [
            {"op": "get_buffer_bytes", "args": ["request_body"], "as": "body", "quiet": true},
            {"if": ["eq", "${body_size}", "0"], "then": [["set", "body", ""]]},
            {"op": "set_buffer_bytes", "args": ["request_body", "<up>${body}</up>"], "quiet": true},
            ["set", "body", ""]
        ],
        "on_response_body": [
            {"if": ["eq", "${count}", "1"], "then": [{"op": "set_buffer_bytes", "args": ["response_body", "<down>", 0, 0], "quiet": true}]},
            {"if": ["eq", "${end_of_stream}", "true"], "then": [{"op": "set_buffer_bytes", "args": ["response_body", "</down>", "max", 0], "quiet": true}]}
        ]
    }';
E

my $s = start_nginx(
    worker_connections => 8192,
    log_level          => 'error',
    main_config        => 'worker_rlimit_nofile 20000;',
    http_config        => 'wasm_plugin rewriting $TEST_NGINX_PLUGINS/hostcalls.wasm body_buffer_size=32m callback_timeout=60s;',
    config             => <<"E",
    client_header_timeout 600s;
    client_body_timeout 600s;
    send_timeout 600s;
    proxy_read_timeout 600s;
    proxy_send_timeout 600s;
    location /buffered { $rewriting proxy_pass http://127.0.0.1:@{[$upstream->port]}/echo; }
    location /unbuffered {
        $rewriting
        proxy_buffering off;
        proxy_pass http://127.0.0.1:@{[$upstream->port]}/echo;
    }
E
);

my ($worker) = $s->worker_pids;

sub slurp { open my $in, '<', $_[0] or die "$_[0]: $!"; local $/; return scalar <$in> }
sub descriptors { my @all = glob "/proc/$worker/fd/*"; return scalar @all }
sub peak_megabytes { return (slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+)/m)[0] >> 10 }

sub temporary_files {
    my @files;
    File::Find::find(sub { push @files, $File::Find::name if -f }, glob $s->root . '/*_temp');
    return @files;
}

my $block = join '', map { chr(33 + $_ % 90) } 1 .. BLOCK;

# The bytes of a body: block after block, each with its number.
sub bytes_at {
    my ($client, $from) = @_;
    my $number = int($from / BLOCK);
    my $whole  = sprintf('%08x%08x', $client->{id}, $number) . substr $block, 16;
    my $left   = $client->{size} - $number * BLOCK;
    return substr $whole, $from % BLOCK, ($left < BLOCK ? $left : BLOCK) - $from % BLOCK;
}

sub start_client {
    my ($id) = @_;
    # Mostly small, and a few of the largest.
    my $size = $id % 50 == 0 ? LARGEST : $id % 50 == 1 ? 0 : int(LARGEST * rand() ** 6);
    my $path = ($id % 2 ? '/buffered' : '/unbuffered') . '?length=' . ($id % 3 ? 1 : 0);
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port, Blocking => 0)
        or die "connect: $!";
    my $md5 = Digest::MD5->new;
    my $client = {
        id => $id, size => $size, sock => $sock, sent => 0, got => '', length => 0, md5 => Digest::MD5->new,
        head => "POST $path HTTP/1.0\r\nHost: x\r\nContent-Length: $size\r\n\r\n",
    };
    # An empty body runs no callback of the request.
    $md5->add('<down>', $size ? '<up>' : '');
    for (my $from = 0; $from < $size; $from += BLOCK) { $md5->add(bytes_at($client, $from)) }
    $md5->add($size ? '</up>' : '', '</down>');
    $client->{want} = $md5->hexdigest;
    return $client;
}

# False when all is sent.
sub write_some {
    my ($client) = @_;
    my $bytes = length $client->{head} ? $client->{head} : bytes_at($client, $client->{sent});
    return 0 if !length $bytes;
    my $put = syswrite $client->{sock}, $bytes;
    return $!{EAGAIN} || $!{EINPROGRESS} || 0 if !defined $put;
    if (length $client->{head}) { substr $client->{head}, 0, $put, '' }
    else                        { $client->{sent} += $put }
    return length $client->{head} || $client->{sent} < $client->{size};
}

# False at the end of the response.
sub read_some {
    my ($client) = @_;
    my $got = sysread $client->{sock}, my $bytes, 256 << 10;
    return $!{EAGAIN} || ($client->{error} = "read: $!", 0)[1] if !defined $got;
    return 0 if !$got;
    if (!defined $client->{status}) {
        $client->{got} .= $bytes;
        $client->{got} =~ s{\AHTTP/\S+ (\d+).*?\r\n\r\n}{}s or return 1;
        ($client->{status}, $bytes) = ($1, delete $client->{got});
    }
    $client->{length} += length $bytes;
    $client->{md5}->add($bytes);
    return 1;
}

is $s->request('POST', '/buffered', body => 'warm')->{body}, '<down><up>warm</up></down>', 'one by itself';
my $before = descriptors();

my ($reading, $writing, %clients) = (IO::Select->new, IO::Select->new);
for my $id (1 .. $requests) {
    my $client = start_client($id);
    $clients{ $client->{sock} } = $client;
    $_->add($client->{sock}) for $reading, $writing;
}

my ($deadline, @wrong) = time + DEADLINE;
my $intact = 0;
while (%clients && time < $deadline) {
    my ($r, $w) = IO::Select->select($reading, $writing, undef, 10);
    for my $sock (@{ $w || [] }) {
        $writing->remove($sock) if !write_some($clients{$sock});
    }
    for my $sock (@{ $r || [] }) {
        my $client = $clients{$sock};
        next if read_some($client);
        $_->remove($sock) for $reading, $writing;
        delete $clients{$sock};
        close $sock;
        my $status = $client->{status} // 'none';
        if ($status eq 200 && $client->{md5}->hexdigest eq $client->{want}) { $intact++ }
        else { push @wrong, "request $client->{id}, $client->{size} bytes: status $status, $client->{length} bytes" }
    }
}

is $intact, $requests, 'every response is intact' or diag join "\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)];
is scalar(keys %clients), 0, 'and none is missing';
# The guest's copies of the largest body, and of each response what the client has not taken yet.
cmp_ok peak_megabytes(), '<', 400, 'the worker never needed much';
note 'peak: ' . peak_megabytes() . ' MB';
# Another request comes after the last was cleaned up.
is $s->get('/nowhere')->{status}, 404, 'the worker goes on';
cmp_ok descriptors(), '<=', $before + 1, 'no descriptor is left';
is_deeply [temporary_files()], [], 'no temporary file';

$s->stop;
$upstream->stop;
done_testing;
