# $wasm_property_NAME in log_format: an access log shows what plugins have found.

use lib '.';
use t::ProxyWasm;
use File::Temp ();
use ProxyWasm::Scripted;

my $dir = File::Temp->newdir;
chmod 0777, $dir;
my $s = start_nginx(
    http_config => scripted() . "log_format found '\$request_uri tenant=\$wasm_property_tenant risk=\$wasm_property_my_filter_risk late=\$wasm_property_late';\n",
    config      => <<"CONF",
    access_log $dir/access.log found;
    location /t {
        proxy_wasm hostcalls '{"on_request_headers": [["set_property", "tenant", "t-7"], ["set_property", "my.filter", "risk", "high"]],
            "on_response_body": [["set_property", "late", "body"]]}';
        return 200 found;
    }
    location /none { return 200 none; }
CONF
);
is $s->get("/$_")->{status}, 200, $_ for qw(t none);
$s->stop;
open my $log, '<', "$dir/access.log" or die "access.log: $!";
is_deeply [<$log>], ["/t tenant=t-7 risk=high late=body\n", "/none tenant=- risk=- late=-\n"], 'what each request has';

done_testing;
