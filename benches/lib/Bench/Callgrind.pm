package Bench::Callgrind;

# Counts the user-space instructions that nginx runs for requests, with valgrind's callgrind, in the
# serving thread only. Unlike times, these counts repeat. They do not include the kernel's work.

use strict;
use warnings;
use Bench::Client;
use Bench::Server qw(start stop);
use File::Path qw(make_path);
use List::Util qw(min);

use Exporter 'import';
our @EXPORT_OK = qw(REQUESTS WARM_UP count per_request under_callgrind);

# LuaJIT compiles what ran some fifty times, and does so again for what those traces left out.
use constant WARM_UP => 600;
use constant REQUESTS => 500;
use constant ROUNDS => 3;

# Seconds; to compile a plugin takes minutes under valgrind.
use constant START_TIMEOUT => 900;

# Compiled Wasm is code that no file holds when it comes from a cold cache.
use constant OPTIONS => qw(--tool=callgrind --separate-threads=yes --smc-check=all-non-file);

# Else malloc's own way for a block depends on what lies beside it in the heap: the pools of a request, the same number of the same
# sizes, cost up to 250 instructions more or less from one build of the module to the next.
use constant MALLOC => 'glibc.malloc.tcache_max=1048576:glibc.malloc.tcache_count=1000';

my %compiled;

# Runs a server of Bench::Server's options under callgrind, and $body with it.
sub under_callgrind {
    my ($options, $body) = @_;
    _compile(%$options);
    my $server;
    {
        my $out = Bench::Server::directory() . '/callgrind.%p';
        local $ENV{GLIBC_TUNABLES} = MALLOC;
        local $ENV{TEST_NGINX_USE_VALGRIND} = join ' ', OPTIONS, "--callgrind-out-file=$out";
        # One process: the one that is counted also reads the configuration.
        $server = start(%$options, master => 'off', start_timeout => START_TIMEOUT);
    }
    my $pid    = $server->pid;
    my $result = $body->($server);
    stop($server);
    unlink glob Bench::Server::directory() . "/callgrind.$pid*";
    return $result;
}

# The instructions that the server's main thread runs during $work. Where they went stays under profiles/, for
# callgrind_annotate.
sub count {
    my ($server, $name, $work) = @_;
    my $pid = $server->pid;
    _control('--zero', $pid);
    $work->();
    _control('--dump', $pid);
    my ($dump, @more) = glob Bench::Server::directory() . "/callgrind.$pid.*-01";
    my $total = $dump && _total($dump);
    die "callgrind left no counts of $name\n" if !$total || @more;
    my $profiles = Bench::Server::directory() . '/profiles';
    make_path($profiles);
    rename $dump, "$profiles/$name.callgrind" or die "$profiles/$name.callgrind: $!\n";
    return $total;
}

# Instructions per request. $name is the profile's; the options are those of Bench::Server, and `request`, those of
# Bench::Client; `requests` and `warm_up` say how many.
sub per_request {
    my ($name, %o) = @_;
    my $request  = delete $o{request} // {};
    my $requests = delete $o{requests} // REQUESTS;
    my $warm_up  = delete $o{warm_up} // WARM_UP;
    return under_callgrind(\%o, sub {
        my ($server) = @_;
        my $client = Bench::Client->new($server->port, %$request);
        $client->ask($warm_up);
        # The least: once a second nginx writes its times anew, and what falls among these requests is not theirs.
        return min(map { count($server, $name, sub { $client->ask($requests) }) } 1 .. ROUNDS) / $requests;
    });
}

# Has every plugin that a configuration names compiled into the cache, which takes minutes under callgrind. Not without valgrind:
# the machine that it shows has other instructions, and so other code.
sub _compile {
    my (%o) = @_;
    my @new = grep { !$compiled{$_}++ } "@{[values %o]}" =~ /([^\s"]+\.wasm)\b/g or return;
    my $number = 0;
    local $ENV{TEST_NGINX_USE_VALGRIND} = '--tool=none --smc-check=all-non-file';
    stop(start(
        master        => 'off',
        start_timeout => START_TIMEOUT,
        http_config   => join('', map { 'wasm_plugin p' . ++$number . " $_;\n" } @new),
    ));
}

sub _control {
    my ($what, $pid) = @_;
    my $said = `callgrind_control $what $pid 2>&1`;
    die "callgrind_control $what: $said\n" if $? || $said !~ /\bOK\b/;
}

sub _total {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    while (<$in>) { return $1 if /^totals: (\d+)/ }
    return;
}

1;
