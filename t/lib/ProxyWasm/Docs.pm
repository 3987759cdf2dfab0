package ProxyWasm::Docs;

# Reads the documents of the repository, for the tests that compare them with the code.

use strict;
use warnings;
use File::Find ();
use ProxyWasm::Module qw(repository);

use Exporter 'import';
our @EXPORT_OK = qw(documents fenced files slurp);

sub slurp {
    my ($path) = @_;
    open my $file, '<', repository() . "/$path" or die "$path: $!";
    local $/;
    return scalar <$file>;
}

# All files, by their paths in the repository. What is built, and what tests leave, is not among them.
sub files {
    my $root = repository();
    my @found;
    File::Find::find({ no_chdir => 1, wanted => sub {
        return $File::Find::prune = 1 if m{/(?:\.git|target|servroot[^/]*|node_modules)\z};
        push @found, substr $_, 1 + length $root if -f;
    } }, $root);
    return sort @found;
}

# Those that are documents.
sub documents { return grep { /\.md\z/ } files() }

# The blocks of that language in a document, each [line of its beginning, text].
sub fenced {
    my ($document, $language) = @_;
    my ($text, @blocks) = slurp($document);
    while ($text =~ /^```$language\n(.*?)^```$/msg) {
        push @blocks, [1 + (substr($text, 0, $-[0]) =~ tr/\n//), $1];
    }
    return @blocks;
}

1;
