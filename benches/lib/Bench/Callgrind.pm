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

# What malloc runs to find or free a block that no cache of its has, such as nginx's pools. It depends on what lies beside the block
# in the heap, and so differs by up to 400 instructions per request from one build of the module to the next. It is not counted; the
# calls of malloc and free are.
use constant SEARCHES => qr/^(?:_int_malloc|_int_free|unlink_chunk|malloc_consolidate|sysmalloc|systrim)\b/;

my %compiled;

# Runs a server of Bench::Server's options under callgrind, and $body with it.
sub under_callgrind {
    my ($options, $body) = @_;
    _compile(%$options);
    my $server;
    {
        my $out = Bench::Server::directory() . '/callgrind.%p';
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

# The sum of what each function runs itself, without those of SEARCHES.
sub _total {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    my ($total, $searches, $is_call, %names) = (0);
    while (<$in>) {
        if (/^(c?)fn=(\(\d+\))(?: (.*))?/) {
            $names{$2} = $3 if defined $3;
            $searches = $names{$2} =~ SEARCHES if !$1;
        } elsif (/^calls=/) {
            # The next line has what the called function runs.
            $is_call = 1;
        } elsif (/^[*+\-\d]\S* (\d+)$/) {
            $total += $1 if !$is_call && !$searches;
            $is_call = 0;
        }
    }
    return $total;
}

1;
