package Bench::Subject::Restore;

# The time until an instance can be called that is restored from an image: benches/core/restore.rs says it, without nginx.

use strict;
use warnings;
use Bench::Row;
use Bench::Server qw(plugin);
use JSON::PP qw(decode_json);
use ProxyWasm::Module qw(repository);

sub title { 'Restoring' }

sub rows {
    return (
        _row('rust', 'an instance of rust-headers, until it can be called', 'rust-headers', 2000, 'conf'),
        _row('go',   'the same of go-headers', 'go-headers', 1000, 'conf'),
        _row('waf',  'the same of the example waf, with its rules: an image of 65 MB', 'waf-go', 100, '{}'),
    );
}

sub _row {
    my ($key, $title, $plugin, @arguments) = @_;
    return Bench::Row->new(
        key => "restore.$key", title => $title, unit => 'µs', timing => 1, measure => sub { _time(plugin($plugin), @arguments) });
}

# Microseconds of a processor: the least of so many.
sub _time {
    open my $out, '-|', _program(), @_, 'restored' or die "restore: $!\n";
    my ($least) = join('', <$out>) =~ /^restored\.ready [\d.]+ ([\d.]+)$/m;
    close $out or die "restore failed\n";
    return $least // die "restore does not say how long it takes\n";
}

# Built as the module is.
my $program;

sub _program {
    return $program if $program;
    my $profile = ($ENV{TEST_NGINX_MODULE} // '') =~ m{/quick/[^/]*$} ? 'quick' : 'release';
    my @build = (qw(cargo build --locked --quiet --manifest-path), repository() . '/Cargo.toml', qw(--package benches --bench restore --message-format json --profile), $profile);
    open my $out, '-|', @build or die "cargo: $!\n";
    for my $message (map { decode_json($_) } grep { /^\{/ } <$out>) {
        $program = $message->{executable} if ($message->{target}{name} // '') eq 'restore' && $message->{executable};
    }
    close $out or die "restore cannot be built\n";
    return $program // die "restore was not built\n";
}

1;
