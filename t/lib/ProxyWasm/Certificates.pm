package ProxyWasm::Certificates;

# Makes certificates for a test with openssl, in a directory: an authority, and servers'
# certificates that it signs.

use strict;
use warnings;

# Makes ca.crt in $dir.
sub new {
    my ($class, $dir) = @_;
    my $self = bless { dir => $dir }, $class;
    $self->_openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Test-CA), '-keyout', "$dir/ca.key", '-out', "$dir/ca.crt");
    return $self;
}

# Makes NAME.crt and NAME.key for a subjectAltName ("DNS:a.test,IP:127.0.0.1"), valid from now on or until yesterday.
sub issue {
    my ($self, $name, $alt_name, %options) = @_;
    my $dir = $self->{dir};
    open my $ext, '>', "$dir/$name.ext" or die "$name.ext: $!\n";
    print $ext "subjectAltName=$alt_name\n";
    close $ext;
    $self->_openssl(qw(req -newkey rsa:2048 -nodes), '-subj', "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
    $self->_openssl(qw(x509 -req -CAcreateserial), $options{expired} ? expired() : qw(-days 2),
        '-in', "$dir/$name.csr", '-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key", '-extfile', "$dir/$name.ext", '-out', "$dir/$name.crt");
    return $self;
}

# What makes a certificate that is not valid any more: dates where openssl takes them, which then takes no negative number of days.
sub expired {
    return `openssl x509 -help 2>&1` =~ /-not_after/
        ? qw(-not_before 20200101000000Z -not_after 20200102000000Z) : qw(-days -1);
}

sub _openssl {
    my ($self, @command) = @_;
    my $log = "$self->{dir}/openssl.log";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>>', $log or die $!;
        open STDERR, '>&', \*STDOUT or die $!;
        exec 'openssl', @command or die "openssl: $!\n";
    }
    waitpid $pid, 0;
    die "openssl @command failed: see $log\n" if $?;
}

1;
