# What `make deps` says of missing packages where it cannot install them: by the system's own names.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Module ();

# A system with a package manager of that name, which has gcc and no other package.
sub says_with {
    my ($manager) = @_;
    my $bin = File::Temp->newdir;
    for my $tool (qw(awk bash cat dirname realpath sed sort head)) {
        symlink qx(which $tool) =~ s{\n}{}r, "$bin/$tool" or die "$tool: $!";
    }
    if (defined $manager) {
        open my $out, '>', "$bin/$manager" or die $!;
        print {$out} "#!/bin/bash\n[[ \${!#} = gcc ]]\n";
        close $out;
        chmod 0755, "$bin/$manager";
    }
    my $functions = ProxyWasm::Module::repository() . '/scripts/lib';
    return qx(env -i PATH=$bin $bin/bash -c '. $functions/common.sh; . $functions/apt.sh; . $functions/packages.sh; install_build_packages' 2>&1);
}

my $cannot = 'warning: this installs packages on Debian alone';
is says_with('rpm'),
    "$cannot, and these are missing: dnf install ca-certificates curl glibc-devel clang-devel make nginx nginx-mod-devel\n", 'Fedora';
is says_with('apk'), "$cannot, and these are missing: apk add ca-certificates curl musl-dev clang-dev make nginx\n", 'Alpine';
is says_with(), "$cannot. Needed are, by their names there: ca-certificates curl gcc libc6-dev libclang-dev make nginx nginx-dev\n",
    'any other system';

done_testing;
