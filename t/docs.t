# The documents and the code say the same: directives, host functions, callbacks; links lead somewhere, files, make's targets and
# metrics that are named are there, and files are quoted as they are. What nginx says of snippets: docs-snippets.t.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

use lib dirname(__FILE__) . '/lib';
use ProxyWasm::Docs qw(documents fenced files slurp);
use ProxyWasm::Module qw(repository);

my $root = repository();

# A source without its unit tests, which name host functions, too.
sub source {
    my ($path) = @_;
    return slurp($path) =~ s/^#\[cfg\(test\)\]\nmod \w+ \{.*//msr;
}

# What stands in code style in the first column of all tables of a document that are headed by that word.
sub documented {
    my ($path, $head) = @_;
    my ($inside, @names);
    for (split /\n/, slurp($path)) {
        my ($first) = /^\| (.*?) \|/;
        if    (!defined $first)  { $inside = 0 if !/^\|/ }
        elsif ($first eq $head)  { $inside = 1 }
        elsif ($inside)          { push @names, $first =~ /`(\w+)`/g }
    }
    return @names;
}

# Fails with the names that only one of the two lists has.
sub same {
    my ($about, $code, $documents) = @_;
    my (%code, %documents);
    @code{@$code} = @documents{@$documents} = ();
    ok %code, "$about: some are found in the code";
    is join(' ', grep { !exists $documents{$_} } sort keys %code), '', "$about: all are documented";
    is join(' ', grep { !exists $code{$_} } sort keys %documents), '', "$about: all that are documented are there";
}

my @directives = source('src/directives.rs') =~ /_directive\(c"(\w+)"/g;
same('directives, in the table', \@directives, [documented('docs/directives.md', 'directive')]);
same('directives, by their sections', \@directives, [slurp('docs/directives.md') =~ /^## (\w+)$/mg]);

my $sources = join '', map { source("proxy-wasm-host/src/hostcalls/" . s{.*/}{}r) }
    grep { !m{/(?:tests|probe)\.rs$} } glob "$root/proxy-wasm-host/src/hostcalls/*.rs";
same('host functions', [
    $sources =~ /^ *"(\w+)" \(/mg,
    $sources =~ /func_wrap\("env", "(\w+)"/g,
    $sources =~ /^ *also "(\w+)";/mg,
], [documented('docs/proxy-wasm.md', 'function')]);

# Those of TCP streams are documented as what is never called.
same('callbacks', [source('proxy-wasm-host/src/callbacks.rs') =~ /"(proxy_on_\w+)":/g],
    [grep { !/^proxy_on_(?:new_connection|downstream_|upstream_)/ } documented('docs/proxy-wasm.md', 'callback')]);

# The attributes that plugins read as properties. What is behind `xds` has its older name beside it, and values by name are of maps.
sub attributes {
    my ($file, %prefix) = @_;
    my ($source, @names) = source("src/host/properties/$file.rs");
    for my $function (sort keys %prefix) {
        my ($body) = $source =~ /^pub fn $function\b.*?\{\n(.*?)^\}/ms or die "$file.rs: there is no $function";
        push @names, map { "$prefix{$function}$_" } map { /b"(\w+)"/g } $body =~ /^ +((?:b"\w+"(?: \| )?)+) =>/mg;
    }
    return @names;
}
my $maps = source('src/host/properties.rs');
my %attribute = map { $_ => 1 } (
    attributes('request', of_request => 'request.'), attributes('response', of_response => 'response.'),
    attributes('connection', of_connection => 'connection.', of_certificates => 'connection.', of_source => 'source.', of_destination => 'destination.'),
    attributes('upstream', of_upstream => 'upstream.'), attributes('connection', of_certificates => 'upstream.'),
    attributes('xds', of_xds => 'xds.', of_one_segment => ''),
    map { s/\\0/./r } $maps =~ /^ +b"(\w+\\0\w+)" =>/mg,
);
my (%documented_attribute, $is_of_attributes);
for (split /\n/, slurp('docs/proxy-wasm.md')) {
    $is_of_attributes = /^\| path \| type \|/ || $is_of_attributes && /^\|/;
    next if !$is_of_attributes;
    my ($names) = /^\| (.*?) \|/ or next;
    $documented_attribute{$_} = 1 for grep { !/[A-Z]/ && !/^(?:xds\.)?node/ } $names =~ /`([\w.]+)`/g;
}
same('attributes', [keys %attribute], [keys %documented_attribute]);

# The foreign functions: those of any host, and those of nginx.
my @foreign = map { source($_) =~ /^ +b"(\w+)"(?: if [^=]*)? =>/mg } qw(proxy-wasm-host/src/hostcalls/foreign_functions.rs src/host/foreign_functions.rs);
same('foreign functions', \@foreign, [grep { !/^wasm_|^plugin_/ } map { /^\| `(\w+)` \|/ ? $1 : () }
    split /\n/, slurp('docs/proxy-wasm.md') =~ s/.*^## Foreign functions\n//msr =~ s/^## .*//msr]);

# The text that the README's picture is drawn from: make lint compares the two.
my %callback = map { $_ => 1 } documented('docs/proxy-wasm.md', 'callback');
my @drawn    = slurp('docs/images/phases.txt') =~ /\b(proxy_on_\w+)/g;
cmp_ok @drawn, '>', 10, 'docs/images/phases.txt: some callbacks are drawn';
is join(' ', grep { !$callback{$_} } @drawn), '', 'and each is there';

# What the module writes to the error log. Of each text, what stands between the values in it, where that is more than a word.
my $explained = join ' ', map { slurp("docs/$_.md") =~ s/\s+/ /gr } qw(operations directives apisix);
my ($texts, @silent) = (0);
find({no_chdir => 1, wanted => sub {
    return if !/\.rs$/ || m{/(?:tests|probe|local|html)\.rs$};
    my $source = source(substr $File::Find::name, 1 + length $root);
    for my $text ($source =~ /\b(?:error|warn|info|format_args|Plugin\(format)!\(\s*"((?:[^"\\]|\\.)+)"/sg) {
        $text =~ s/\\\n\s*//g;
        $text =~ s/\\"/"/g;
        for my $part (map { s/^[ :,("]+|[ :,("]+$//gr } split /\{[^}]*\}/, $text) {
            next if $part !~ / /;
            $texts++;
            push @silent, "$File::Find::name: $part" if index($explained, $part) < 0;
        }
    }
}}, map { "$root/$_" } qw(src ngx-bindings/src proxy-wasm-host/src));
cmp_ok $texts, '>', 20, 'log lines: some are found in the code';
is join("\n", sort @silent), '', 'log lines: all are explained';

# As a browser of the repository makes it of a heading.
sub anchor { return lc($_[0]) =~ s/[^\w\- ]//gr =~ tr/ /-/r }

# What stands in code style, in a line or as lines of their own, which documents do for what is to be typed.
sub code {
    my ($text) = @_;
    return ($text =~ /(?<!`)`([^`\n]+)`(?!`)/g, $text =~ /^    (\S.*)$/mg, map { split /\n/ } $text =~ /^```\w*\n(.*?)^```$/msg);
}

my $makefile = slurp('Makefile');
my %target   = map { $_ => 1 } $makefile =~ /^\.PHONY: (\S+)/mg;
my %variable = map { $_ => 1 } $makefile =~ /^(\w+) \?=/mg;

# Those of nginx's Makefile, which gets what config.make says.
$target{modules} = 1;
$variable{$_} = 1 for slurp('config.make') =~ /\$\{(\w+):-/g;

# Of a command of make, the targets and variables that it does not have.
sub unknown {
    my ($command) = @_;
    my ($arguments) = $command =~ /^make((?: +(?:[A-Z_]+=(?:'[^']*'|\S*)|[a-z][a-z-]*))*)/ or return;
    return grep { /^[a-z]/ ? !$target{$_} : !$variable{$_} } ($arguments =~ s/'[^']*'//gr) =~ / ([a-z-]+|[A-Z_]+(?==))/g;
}

for my $workflow (map { substr $_, 1 + length $root } glob "$root/.github/workflows/*.yml") {
    my $text = slurp($workflow);
    my @made = $text =~ /^ *- run: (make .*)$/mg;
    ok scalar @made, "$workflow: it calls make";
    # GitHub's expressions stand for values.
    is join(' ', map { unknown(s/\$\{\{.*?\}\}/x/gr) } @made), '', "$workflow: make has every target and variable";
}
my ($oldest) = slurp('Cargo.toml') =~ /^rust-version = "(.*)"$/m;
like slurp('.github/workflows/ci.yml'), qr/^    container: rust:\Q$oldest\E-bookworm$/m, 'the oldest Rust is built with';

# The rooms, whose files are named without the folder that all of them are in.
my %room = map { m{^(?:src|proxy-wasm-host/src)/(\w+)} ? ($1 => 1) : () } files();
my $files = join "\n", (map { "/$_" } files()), '';

# What is named like a source and is none: rows of the benchmarks, and a file of APISIX.
my %other = map { $_ => 1 } qw(wasm.lua), slurp('docs/performance.md') =~ /^\| `([\w.-]+)` /mg;

# Of what stands in code style, the names of sources, and of folders of sources, that the repository does not have. They may lack
# the first folders of their path, and `.rs`.
sub missing {
    return grep { $files !~ m{/\Q$_\E(?:\.rs)?(?:/|\n)} && !$other{$_} && !m{^target/} }
        grep { m{^(?:[\w-]+/)*[\w-]+\.(?:rs|t|p[lm]|c|lua|go|py)$} || (m{^(\w+)/[\w/]+\w$} && $room{$1}) } @_;
}

# The rows of a document's tables that have more or fewer cells than the table's head, as a `|` in a cell makes.
sub uneven {
    my ($text) = @_;
    my ($head, @uneven);
    for (split /\n/, $text =~ s/^```.*?^```$//gmsr) {
        if (!/^\|/) { undef $head; next }
        my $cells = () = /(?<!\\)\|/g;
        $head //= $cells;
        push @uneven, $_ if $cells != $head;
    }
    return @uneven;
}

for my $document (documents()) {
    my $text = slurp($document);
    is join("\n", uneven($text)), '', "$document: all rows of a table have its cells";

    my $here = dirname($document);
    my @dead;
    for my $link ($text =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ /^https?:/;
        my ($path, $anchor) = split /#/, $link, 2;
        my $target = $path eq '' ? $document : "$here/$path";
        push @dead, $link and next unless -e "$root/$target";
        next unless defined $anchor;
        push @dead, $link unless grep { anchor($_) eq $anchor } slurp($target) =~ /^#+ (.*)$/mg;
    }
    is "@dead", '', "$document: every link leads somewhere";

    # Those of a plugin that is yet to be written aside.
    my @files = grep { m{^(?:\.ci|benches|check|debian|docs|examples|fuzz|lib|ngx-bindings|proxy-wasm-host|scripts|src|t)/[\w./-]*$} && !/my-plugin/ }
        code($text);
    is join(' ', grep { !-e "$root/$_" && !-e "$root/$here/$_" } @files), '', "$document: every file that it names is there";
    is join(' ', missing(code($text))), '', "$document: every source that it names in short is there";
    my @elsewhere = grep { $text =~ m{\[`\Q$_\E`\]\(([^)#\s]+)} && $1 !~ m{(?:^|/)\Q$_\E(?:\.rs)?/?$} } grep { m{/|\.rs$} } $text =~ /\[`([^`\n]+)`\]\(/g;
    is join(' ', @elsewhere), '', "$document: links that are named by a path lead to it";
    is join(' ', map { unknown($_) } code($text)), '', "$document: make has every target and variable";
}

# The table's first row is the version that is built here. A format's last byte is its number.
my ($of_wasmtime) = slurp('Cargo.lock') =~ /^name = "wasmtime"\nversion = "(\d+)/m;
my @formats = map { hex((slurp("proxy-wasm-host/src/shared/$_.rs") =~ /^const FORMAT: u64 = 0x\w+_\w\w(\w\w);$/m)[0]) } qw(data queues metrics);
my ($version, $wasmtime, $upgraded) = slurp('docs/upgrading.md') =~ /^\| ([\d.]+) \| [^|]+ \| (\d+) \|.*\| ([\d, ]+) \|$/m;
is "$version, $wasmtime: $upgraded", (slurp('Cargo.toml') =~ /^version = "(.*)"$/m)[0] . ", $of_wasmtime: " . join(', ', @formats),
    'docs/upgrading.md: version, wasmtime and formats of zones are those that are built';

my @walked = slurp('docs/architecture.md') =~ /\*\*`([\w\/]+)`\*\*/g;
cmp_ok @walked, '>', 5, "docs/architecture.md: a request's walk passes some rooms";
is join(' ', grep { !-e "$root/src/$_.rs" } @walked), '', 'and each is there';

my %metric = map { $_ => 1 } documented('docs/operations.md', 'metric');
my @alerts = map { $_->[1] =~ /\b(proxy_wasm_\w+)/g } fenced('docs/operations.md', 'yaml');
cmp_ok @alerts, '>', 3, 'docs/operations.md: there are alerts';
is join(' ', grep { !$metric{$_} } @alerts), '', 'and each is for a metric';

# What a document quotes of a file, as in [`main.go`](../main.go): and a block of code below it, is all that the file has.
my ($guide, $quotes) = ('docs/writing-plugins.md', 0);
my $text = slurp($guide);
while ($text =~ /^\[`[^`\n]+`\]\((\S+)\):\n\n```\w*\n(.*?)^```$/msg) {
    is $2, slurp(dirname($guide) . "/$1"), "$guide: $1 is quoted as it is";
    $quotes++;
}
ok $quotes, "$guide: some files are quoted";

done_testing;
