# fault-injection: answers in place of the upstream, with what APISIX asserts of its own.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

sub refused {
    my ($conf, $reason) = @_;
    return { name => "refused: $conf", conf => $conf, status => 503, log => qr/\[error\] .*fault-injection: \Q$reason\E/ };
}

test_example(
    'fault-injection',
    languages => [qw(rust go)],
    cases     => [
        {   name   => 'every request gets the answer',
            conf   => '{"http_status": 401, "body": "HIT\n"}',
            status => 401,
            body   => "HIT\n",
        },
        {   name   => 'a newline as it is may stand in the body, which nginx and APISIX make of \n',
            conf   => qq({"http_status": 401, "body": "HIT\n"}),
            status => 401,
            body   => "HIT\n",
        },
        {   name   => 'without a body',
            conf   => '{"http_status": 503, "percentage": 100}',
            status => 503,
        },
        {   name => 'for no request',
            conf => '{"http_status": 401, "percentage": 0}',
            body => 'hello',
        },
        refused('{}',                                      'bad configuration: missing field `http_status`'),
        refused('{"http_status": 199}',                    'bad http_status 199: want 200 to 599'),
        refused('{"http_status": 600}',                    'bad http_status 600: want 200 to 599'),
        refused('{"http_status": 401, "percentage": -1}',  'bad percentage -1: want 0 to 100'),
        refused('{"http_status": 401, "percentage": 101}', 'bad percentage 101: want 0 to 100'),
        refused('no JSON',                                 'bad configuration: '),
    ],
);
