package Bench::Subject::Bodies;

# The cost of a proxied response of 100 MB that passes a plugin. With nginx's default settings it
# comes in pieces of 4 KiB, with other settings in pieces of 64 KiB: the one shows a plugin's cost
# per piece, the other its cost per byte.

use strict;
use warnings;
use Bench::Callgrind qw(count under_callgrind);
use Bench::Client;
use Bench::Clock qw(cpu_time least);
use Bench::Row;
use Bench::Server qw(directory guest start stop);
use File::Path qw(make_path);

use constant SIZE => 100_000_000;
# Enough for every byte, few enough for valgrind.
use constant TIMES => 5;

my %BUFFERS = (4 => '', 64 => 'proxy_buffers 8 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;');

sub title { 'Bodies' }

sub rows { map { _pieces($_) } 4, 64 }

sub _pieces {
    my ($piece) = @_;
    my ($nginx, $nginx_time) = _rows($piece, 'nginx', 'no plugin');
    my ($sizes, $sizes_time) = _rows($piece, 'sizes', 'a plugin that looks at sizes', 'body-sizes');
    my ($copies) = _rows($piece, 'copies', 'a plugin that copies as many bytes in its own memory', 'body-copies');
    my ($reads, $reads_time) = _rows($piece, 'reads', 'a plugin that takes every byte', 'body-reads');

    $_->{over} = $nginx->{key} for $sizes, $copies, $reads;
    $_->{per} = $nginx_time->{key} for $sizes_time, $reads_time;
    my $as_copies = Bench::Row->new(
        key     => "$reads->{key}.copies",
        title   => 'of that, beyond sizes, as often as copying costs',
        unit    => '×',
        measure => sub { ($reads->value - $sizes->value) / ($copies->value - $sizes->value) },
    );
    return ($nginx, $sizes, $copies, $reads, $as_copies, $nginx_time, $sizes_time, $reads_time);
}

# The row that counts, and the one that takes the time.
sub _rows {
    my ($piece, $what, $title, $guest) = @_;
    my $key   = "bodies.$piece.$what";
    my %about = (title => "100 MB by $piece KiB, $title");
    return (
        Bench::Row->new(%about, key => $key, measure => sub { _count($key, $piece, $guest) }),
        Bench::Row->new(%about, key => "$key.time", unit => 'ms', timing => 1, measure => sub { _time($piece, $guest) }),
    );
}

sub _count {
    my ($key, $piece, $guest) = @_;
    return _with_upstream(sub {
        return under_callgrind(_server($piece, $guest, @_), sub {
            my ($server) = @_;
            my $client = Bench::Client->new($server->port);
            $client->download(SIZE);
            return count($server, $key, sub { $client->download(SIZE) });
        });
    });
}

sub _time {
    my ($piece, $guest) = @_;
    return _with_upstream(sub {
        my $server = start(%{ _server($piece, $guest, @_) }, master => 'off');
        my $client = Bench::Client->new($server->port);
        my $time   = least(TIMES, sub { cpu_time($server->pid, sub { $client->download(SIZE) }) });
        stop($server);
        return $time;
    });
}

sub _server {
    my ($piece, $guest, $upstream) = @_;
    return {
        http_config => $guest ? "wasm_plugin p @{[guest($guest)]};" : '',
        config      => "location /t { $BUFFERS{$piece} proxy_max_temp_file_size 0;\n"
            . ($guest ? "proxy_wasm p;\n" : '') . "proxy_pass http://127.0.0.1:$upstream/body; }",
    };
}

# Another nginx has the body as a file that takes no room.
sub _with_upstream {
    my ($measure) = @_;
    my $folder = directory() . '/upstream';
    make_path($folder);
    open my $file, '>', "$folder/body" or die "$folder/body: $!\n";
    truncate $file, SIZE or die "$folder/body: $!\n";
    my $upstream = start(no_module => 1, config => "location /body { root $folder; sendfile on; }");
    my $result   = $measure->($upstream->port);
    stop($upstream);
    return $result;
}

1;
