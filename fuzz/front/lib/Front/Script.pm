package Front::Script;

# The plugins of the front fuzzer: scripts for the scripted guest (t/plugins/hostcalls) that do in each callback what the
# request's URI asks for. In `/echo?id=c1r1&a.rh=pause&a.sb=replace&` the plugin `a` pauses in on_request_headers and replaces
# pieces of the response's body. The URI is in every request, however broken, HTTP/0.9 included.

use strict;
use warnings;
use JSON::PP ();

use Exporter 'import';
our @EXPORT_OK = qw(script random_actions);

# The URI as the client sent it: `set` in the server keeps it from what plugins do to `:path`.
my $ASKED = { op => 'get_property', args => ['asked'], as => 'asked', quiet => JSON::PP::true };
my $PAUSE = ['return', 'pause'];

# What may follow a call or a tick.
my %ON_EVENT = (
    continue => [['continue_stream', 'request'], ['continue_stream', 'response']],
    answer   => [['send_local_response', 418, '[${asked}]']],
    close    => [['close_stream', 'request']],
    closes   => [['close_stream', 'response']],
    nothing  => [],
);

my %REQUEST = (
    path    => [['replace_header_map_value', 'request', ':path', '/moved/a b?x y&${asked}']],
    short   => [['replace_header_map_value', 'request', ':path', '/']],
    method  => [['replace_header_map_value', 'request', ':method', 'POST']],
    head    => [['replace_header_map_value', 'request', ':method', 'HEAD']],
    host    => [['replace_header_map_value', 'request', ':authority', 'other.example']],
    nohost  => [['remove_header_map_value', 'request', 'host']],
    field   => [['add_header_map_value', 'request', 'x-added', '[${asked}]']],
    nolength => [['remove_header_map_value', 'request', 'content-length']],
    fields  => [['set_header_map_pairs', 'request', [[':path', '/all?${asked}'], [':authority', 'a'], ['cookie', 'a']]]],
    args    => [['set_property', 'args', '${asked}x=1']],
    reqbody => [['set_buffer_bytes', 'request_body', '<${asked}>', 0, 0]],
    bigreq  => [['set_buffer_bytes', 'request_body', { repeat => ['0123456789abcdef', 20000] }]],
);

my %RESPONSE = (
    status   => [['replace_header_map_value', 'response', ':status', '404']],
    nocontent => [['replace_header_map_value', 'response', ':status', '204']],
    notmod   => [['replace_header_map_value', 'response', ':status', '304']],
    switch   => [['replace_header_map_value', 'response', ':status', '101']],
    location => [['replace_header_map_value', 'response', 'location', '/elsewhere']],
    length   => [['replace_header_map_value', 'response', 'content-length', '3']],
    nolen    => [['remove_header_map_value', 'response', 'content-length']],
    chunked  => [['replace_header_map_value', 'response', 'transfer-encoding', 'chunked']],
    resfield => [['add_header_map_value', 'response', 'x-added', '[${asked}]']],
    resfields => [['set_header_map_pairs', 'response', [[':status', '201'], ['x-all', '[${asked}]']]]],
    trailer  => [['add_header_map_value', 'response_trailers', 'x-trailer', '[${asked}]']],
    replace  => [['set_buffer_bytes', 'response_body', '<${asked}>']],
    prepend  => [['set_buffer_bytes', 'response_body', '<${asked}>', 0, 0]],
    empty    => [['set_buffer_bytes', 'response_body', '']],
    big      => [['set_buffer_bytes', 'response_body', { repeat => ['0123456789abcdef', 20000] }]],
    held     => [{ if => ['eq', '${end_of_stream}', 'false'], then => [$PAUSE] }],
    first    => [{ if => ['eq', '${count}', '1'], then => [$PAUSE] }],
);

my %ANYWHERE = (
    pause   => [$PAUSE],
    leave   => [['set', 'other', '${context_id}'], $PAUSE],
    lend    => [['set', 'other', '${context_id}']],
    answer  => [['send_local_response', 403, '[${asked}]', [['x-a', 'b']]]],
    answerp => [['send_local_response', 200, '[${asked}]'], $PAUSE],
    refuse  => [['send_local_response', 204]],
    fail    => [['send_local_response', 500]],
    large   => [['send_local_response', 200, { repeat => ['0123456789abcdef', 20000] }]],
    close   => [['close_stream', 'request']],
    closes  => [['close_stream', 'response'], $PAUSE],
    early   => [['continue_stream', 'request'], ['continue_stream', 'response']],
    earlyp  => [['continue_stream', 'response'], ['continue_stream', 'request'], $PAUSE],
    done    => [['done']],
    meddle  => [['set_effective_context', '${other}'], @{ $ON_EVENT{continue} }],
    enough  => [['set_effective_context', '${other}'], $ASKED, @{ $ON_EVENT{answer} }],
    cut     => [['set_effective_context', '${other}'], @{ $ON_EVENT{close} }],
);

my %TRAPS = (
    trap  => [['trap']],
    stack => [['trap', 'stack']],
    panic => [['panic', 'as asked']],
    loop  => [['loop']],
    grow  => [['allocator', 'trap'], ['get_header_map_pairs', 'request'], ['allocator', 'ok']],
    number => [['return', 77]],
);

sub _calls {
    my ($port) = @_;
    my $http = sub {
        my ($program, $timeout) = @_;
        return ['http_call', "127.0.0.1:$port", [[':path', "/x?up=$program"], [':method', 'GET'], [':authority', 'x']],
            '', [], $timeout];
    };
    my %call = (
        call  => $http->('L9.B9.E', 1000),
        slow  => $http->('W80.L9.B9.E', 1000),
        late  => $http->('W500.L9.B9.E', 100),
        dead  => $http->('L900.B9.X', 1000),
        much  => $http->('C.B300000.E', 1000),
        grpc  => ['grpc_call', "127.0.0.1:$port", 's', 'm', [], 'x', 200],
        stream => ['grpc_stream', "127.0.0.1:$port", 's', 'm', []],
    );
    return map { ($_ => [$call{$_}], "${_}p" => [$call{$_}, $PAUSE]) } keys %call;
}

# The callbacks by the name that URIs have for them, with what may be done there.
sub _callbacks {
    my (%o) = @_;
    my %calls = _calls($o{upstream});
    my %traps = $o{traps} ? %TRAPS : ();
    my %event = (%ON_EVENT, again => $calls{call}, map { ($_ => $traps{$_}) } grep { $_ ne 'grow' } keys %traps);
    my %request = (%ANYWHERE, %calls, %traps, %REQUEST);
    my %response = (%ANYWHERE, %calls, %traps, %RESPONSE);
    my %end = (%traps, call => $calls{call}, answer => $ANYWHERE{answer}, close => $ANYWHERE{close});
    return (
        rh => [on_request_headers => \%request], rb => [on_request_body => \%request],
        rt => [on_request_trailers => \%request],
        sh => [on_response_headers => \%response], sb => [on_response_body => \%response],
        st => [on_response_trailers => \%response],
        cr => [on_http_call_response => \%event], gr => [on_grpc_receive => \%event],
        gc => [on_grpc_close => \%event], tk => [on_tick => \%event],
        cc => [on_context_create => \%end], dn => [on_done => \%end], lg => [on_log => \%end],
    );
}

# The configuration of a plugin: name (a letter before the callbacks in URIs), upstream (the port of calls), traps (whether it
# may trap).
sub script {
    my (%o) = @_;
    my %callbacks = _callbacks(%o);
    my %script = (on_configure => [['set', 'other', '0']]);
    for my $code (sort keys %callbacks) {
        my ($name, $actions) = @{ $callbacks{$code} };
        my @steps = ($ASKED, map {
            { if => ['contains', '${asked}', "$o{name}.$code=$_&"], then => $actions->{$_} }
        } sort keys %$actions);
        # Whoever waits for a call or a tick goes on, unless the URI has it otherwise.
        push @steps, { if => ['not', ['contains', '${asked}', "$o{name}.$code="]], then => $ON_EVENT{continue} }
            if $name =~ /call_response|grpc_close|tick/;
        $script{$name} = \@steps;
    }
    my $resume = $script{on_tick};
    $script{on_tick} = [{ if => ['not', ['eq', '${other}', '0']],
        then => [['set_effective_context', '${other}'], ['set', 'other', '0'], @$resume] }];
    push @{ $script{on_configure} }, ['set_tick_period_milliseconds', 30];
    return JSON::PP->new->canonical->utf8->encode(\%script);
}

# Arguments that ask the plugin `name` for something, at random.
sub random_actions {
    my (%o) = @_;
    my %callbacks = _callbacks(%o, upstream => 0);
    my @requests = ('rh', 'rh', 'rb', 'sh', 'sh', 'sb', 'sb', 'sb', 'st', 'rt', 'cc', 'dn', 'lg');
    my $text = '';
    for (1 .. 1 + int rand 2) {
        $text .= _ask(\%o, $requests[rand @requests], \%callbacks);
    }
    $text .= _ask(\%o, $_, \%callbacks) for grep { rand() < 0.3 } qw(cr gr gc tk);
    return $text;
}

sub _ask {
    my ($o, $code, $callbacks) = @_;
    my @actions = grep { !$o->{without}{$_} } sort keys %{ $callbacks->{$code}[1] };
    return "$o->{name}.$code=$actions[rand @actions]&";
}

1;
