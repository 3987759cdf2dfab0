#!/usr/bin/env perl
# crates.pl licences|sbom TARGET [NGINX]: which crates are in the module and in proxy-wasm-check as they are built for that target:
# with the licence of each, or as a CycloneDX document of the module for that version of nginx.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP ();

my ($what, $target, $nginx) = @ARGV;
chdir dirname(__FILE__) . '/../..' or die "$!\n";

my %crates;
for my $line (qx(cargo tree --locked --quiet --edges normal --target $target --prefix none --format '{p}|{l}|{r}' --package ngx_http_proxy_wasm_module --package proxy-wasm-check)) {
    my ($name, $version, $licence, $repository) = $line =~ /^(\S+) v(\S+)[^|]*\|([^|]*)\|(.*)$/ or next;
    $crates{"$name $version"} = { name => $name, version => $version, licence => $licence, repository => $repository };
}
die "cargo names no crates\n" if !%crates;

sub licences {
    return join '', map {"$_->{name} $_->{version}: $_->{licence}" . ($_->{repository} && "  $_->{repository}") . "\n"}
        map { $crates{$_} } sort keys %crates;
}

sub component {
    my ($crate) = @_;
    return {
        type      => 'library',
        'bom-ref' => "pkg:cargo/$crate->{name}\@$crate->{version}",
        purl      => "pkg:cargo/$crate->{name}\@$crate->{version}",
        name      => $crate->{name},
        version   => $crate->{version},
        # Older manifests separate by a slash.
        licenses  => [{ expression => $crate->{licence} =~ s{\s*/\s*}{ OR }gr }],
    };
}

sub sbom {
    my ($own) = grep { $_->{name} eq 'ngx_http_proxy_wasm_module' } values %crates;
    my $document = {
        bomFormat   => 'CycloneDX',
        specVersion => '1.5',
        version     => 1,
        metadata    => {
            component  => { type => 'library', 'bom-ref' => 'module', name => $own->{name}, version => $own->{version} },
            properties => [{ name => 'nginx', value => $nginx }, { name => 'target', value => $target }],
        },
        components => [map { component($crates{$_}) } sort keys %crates],
    };
    return JSON::PP->new->canonical->pretty->encode($document);
}

print $what eq 'sbom' ? sbom() : licences();
