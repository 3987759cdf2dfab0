package Runner::Checks;

# Checks a response against its block: error_code, response_headers, response_body and their _like
# and _unlike forms, with the names, order and number of tests that Test::Nginx gives.
# ProxyWasm::LogChecks checks the logs.

use strict;
use warnings;
use Test::More ();
use ProxyWasm::LogChecks qw(same_string);

use Exporter 'import';
our @EXPORT_OK = qw(check_response);

# $at: {block, name, index => request number, many => several requests}
sub check_response {
    my ($at, $res, $raw_headers) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    _code($at, $res);
    _raw_headers($at, $raw_headers);
    _headers($at, $res, $raw_headers);
    _filter_body($at, $res);
    _body($at, $res);
}

# The value of a section for this request: a list must have one for each of several.
sub _value {
    my ($at, $section) = @_;
    my $value = $at->{block}->$section;
    return $value if !$at->{many} && ref $value ne 'ARRAY';
    die "$section: several requests need a list of as many values (use eval)\n"
        if ref $value ne 'ARRAY';
    return $value->[$at->{index}];
}

sub _has {
    my ($at, $section) = @_;
    return defined scalar $at->{block}->$section;
}

sub _code {
    my ($at, $res) = @_;
    my $code = $res->code // '';
    my $name = "$at->{name} - status code ok";
    if (_has($at, 'error_code_like')) {
        my $pattern = _value($at, 'error_code_like');
        return Test::More::like($code, qr/$pattern/sm, $name);
    }
    Test::More::is($code, _has($at, 'error_code') ? _value($at, 'error_code') : 200, $name);
}

sub _raw_headers {
    my ($at, $raw) = @_;
    if (_has($at, 'raw_response_headers_like')) {
        my $pattern = _value($at, 'raw_response_headers_like');
        Test::More::like($raw, qr/$pattern/s, "$at->{name} - raw resp headers like");
    }
    if (_has($at, 'raw_response_headers_unlike')) {
        my $pattern = _value($at, 'raw_response_headers_unlike');
        Test::More::unlike($raw, qr/$pattern/s, "$at->{name} - raw resp headers unlike");
    }
}

sub _headers {
    my ($at, $res, $raw) = @_;
    my $like = !_has($at, 'response_headers');
    my $section = $like ? 'response_headers_like' : 'response_headers';
    return if !_has($at, $section);

    my (%value, @names);
    for my $line (split /\n/, _value($at, $section) // '') {
        $line =~ s/^\s+|\s+$//g;
        next if $line eq '';
        my ($name, $value) = $line =~ s/^!\s*// ? ($line, undef) : split /\s*:\s*/, $line, 2;
        push @names, $name if !exists $value{$name};
        $value{$name} = $value;
    }

    for my $name (@names) {
        my $expected = $value{$name};
        my $got      = join ', ', $res->header($name);
        if ($like) {
            $expected //= '';
            Test::More::like($got, qr/^$expected$/, "$at->{name} - header $name like ok");
        }
        elsif (!defined $expected) {
            Test::More::unlike($raw, qr/^\s*\Q$name\E\s*:/mi,
                "$at->{name} - header $name not present in the raw headers");
        }
        else {
            Test::More::is($got, $expected, "$at->{name} - header $name ok");
        }
    }
}

# The word length, or a list of functions.
sub _filter_body {
    my ($at, $res) = @_;
    my $filters = $at->{block}->response_body_filters // return;
    my $body    = $res->content;
    for my $filter (ref $filters eq 'ARRAY' ? @$filters : $filters) {
        my $code = ref $filter eq 'CODE' ? $filter : $filter eq 'length' ? sub { length $_[0] }
            : die "response_body_filters: unknown filter $filter\n";
        $body = $code->($body);
    }
    $res->content($body);
}

sub _body {
    my ($at, $res) = @_;
    my $body = $res->content;

    if (_has($at, 'response_body')) {
        my $expected = _value($at, 'response_body');
        my $which = "(req $at->{index})";
        return Test::More::like($body, $expected, "$at->{name} - response_body - like $which")
            if ref $expected;
        return same_string($body, $expected,
            "$at->{name} - response_body - response is expected $which");
    }

    for my $kind (qw(like unlike)) {
        next if !_has($at, "response_body_$kind");
        my $pattern = _value($at, "response_body_$kind");
        (my $summary = $body // '') =~ s/\s+/ /g;
        my $name = "$at->{name} - response_body_$kind - response is expected ($summary)";
        return $kind eq 'like' ? Test::More::like($body, qr/$pattern/s, $name)
            : Test::More::unlike($body, qr/$pattern/s, $name);
    }
}

1;
