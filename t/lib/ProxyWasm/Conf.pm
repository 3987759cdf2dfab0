package ProxyWasm::Conf;

# Writes the files that nginx reads: the server root with nginx.conf, html/ and logs/. It does not
# depend on blocks or on this module. The layout is that of Test::Nginx, so that relative paths,
# $TEST_NGINX_* names and the order of directives are the same under both runners.

use strict;
use warnings;
use File::Path qw(make_path remove_tree);
use ProxyWasm::Port qw(reserve_port);

use Exporter 'import';
our @EXPORT_OK = qw(expand_env make_root write_conf write_user_files);

# $TEST_NGINX_NAME from $extra, then the environment. TEST_NGINX_RAND_PORT_<n> is a
# free port, the same for each n throughout the hash it is kept in.
sub expand_env {
    my ($text, $extra, $rand_ports) = @_;
    return $text if !defined $text || ref $text;
    $text =~ s{\$(TEST_NGINX_[_A-Z0-9]+)}{
        my $name = $1;
        $name =~ /^TEST_NGINX_RAND_PORT_\d+$/ && $rand_ports
            ? $rand_ports->{$name} ||= reserve_port()
            : $extra->{$name} // $ENV{$name} // die "\$$name: no such environment variable\n";
    }eg;
    return $text;
}

# A server root as new. Only what a run makes is removed, for the case that the
# path names a directory of someone's own.
sub make_root {
    my ($root) = @_;
    remove_tree(map { "$root/$_" } qw(conf logs html));
    remove_tree(glob "$root/*_temp $root/*_cache");
    make_path(map { "$root/$_" } qw(conf logs html));
    _write("$root/html/index.html",
        '<html><head><title>It works!</title></head><body>It works!</body></html>');
}

# user_files: lines after ">>> name [touch date]", or a list of [name, text, date].
sub write_user_files {
    my ($root, $files, $expand) = @_;
    return if !defined $files;

    if (!ref $files) {
        my @list;
        for my $line (split /(?<=\n)/, $files) {
            if ($line =~ />>> (\S+)(?:\s+(.+))?/) {
                push @list, [$1, '', $2];
            }
            elsif (@list) {
                $list[-1][1] .= $line;
            }
        }
        $files = \@list;
    }
    elsif (ref $files ne 'ARRAY') {
        die "user_files: text or a list of [name, text] expected\n";
    }

    for my $file (@$files) {
        my ($name, $body, $date) = @$file;
        my $path = $name =~ m{^/} ? $name : "$root/html/$name";
        make_path($1) if $path =~ m{(.*)/} && !-d $1;
        _write($path, $expand->($body // ''));
        if ($date) {
            local $ENV{TZ} = 'GMT';
            system('touch', '-t', $date, $path) == 0 or die "touch -t $date failed\n";
        }
    }
}

# Writes $o->{root}/conf/nginx.conf and returns its path.
sub write_conf {
    my ($o) = @_;
    my $root = $o->{root};
    my $text = join '', _main($o), _http($o), _tail($o);
    _write("$root/conf/nginx.conf", $text);
    return "$root/conf/nginx.conf";
}

sub _main {
    my ($o) = @_;
    my $root  = $o->{root};
    my $log   = $o->{error_log_file} || "$root/logs/error.log";
    my $env   = join '', map { /\s/ ? "env '$_';\n" : "env $_;\n" } @{ $o->{env} || [] };
    my $main  = $o->{main_config} // '';
    # nginx is our child, not a daemon, so that its exit is seen at once.
    return <<"CONF";
worker_processes  $o->{workers};
daemon off;
master_process $o->{master};
error_log $log $o->{log_level};
pid       $root/logs/nginx.pid;
$env
$main
CONF
}

sub _http {
    my ($o) = @_;
    my $root = $o->{root};
    my $http = $o->{http_config} // '';
    my $conf = $o->{config} // '';
    (my $name = $o->{server_name}) =~ s/([\\'])/\\$1/g;
    my $root_location = $o->{no_root_location} ? '' : <<"CONF";
        location / {
            root $root/html;
            index index.html index.htm;
        }
CONF
    return <<"CONF";
http {
    access_log $root/logs/access.log;
    default_type text/plain;
    keepalive_timeout  68;

$http

    server {
        listen          $o->{port}$o->{listen_options};
        server_name     '$name';
        client_max_body_size 30M;

$conf

$root_location
    }
}
CONF
}

sub _tail {
    my ($o) = @_;
    my $post = $o->{post_main_config} // '';
    my $user = $o->{user} ? "user $o->{user};\n" : $> == 0 ? "user root;\n" : '';
    return <<"CONF";
$post

events {
    accept_mutex off;
    worker_connections  $o->{connections};
}
env ASAN_OPTIONS;
env LSAN_OPTIONS;
env LD_PRELOAD;
env LD_LIBRARY_PATH;
$user
CONF
}

sub _write {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!\n";
    binmode $out;
    print {$out} $text;
    close $out or die "$path: $!\n";
}

1;
