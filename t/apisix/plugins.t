# CONTRACT §1
use lib '.';
use t::ProxyWasm 'no_plan';
use ProxyWasm::Apisix;

no_long_string();
run_tests();

__DATA__

=== TEST 1: a route with a plugin
--- apisix_yaml
routes:
  - id: 1
    uri: /t
    plugins:
      log:
        conf: blah
--- response_body_like: ^GET /t
--- error_log
run plugin ctx 1 with conf blah in http ctx 2
