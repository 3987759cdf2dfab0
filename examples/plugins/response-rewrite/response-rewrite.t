# response-rewrite: other fields, another body.

use lib '.';
use t::ProxyWasm;
use ProxyWasm::Example;

my @rewrite = (conf => '{"headers": [{"name": "x-wasm", "value": "yes"}], "body": "rewritten\n"}', body => "rewritten\n");

test_example(
    'response-rewrite',
    languages => [qw(rust go)],
    cases     => [
        {   name    => 'fields are set, in place of those of the upstream, and the body is left alone',
            conf    => '{"headers": [{"name": "x-wasm", "value": "yes"}, {"name": "ETag", "value": "ours"}]}',
            headers => { 'x-wasm' => 'yes', etag => 'ours', 'content-length' => 5 },
            body    => 'hello',
        },
        {   name    => 'the body is replaced, and nothing of the old one stays',
            headers => { 'x-wasm' => 'yes', etag => undef, 'content-md5' => undef },
            @rewrite,
        },
        {   name       => "by APISIX's rule",
            directives => 'wasm_response_body property;',
            @rewrite,
        },
        { name => 'a large one',              request => [GET => '/zeros?5000'], @rewrite },
        { name => 'one in several pieces',    request => [GET => '/pieces'],     @rewrite },
        { name => 'one that is empty',        request => [GET => '/echo'],       @rewrite },
        {   name => 'an empty one in its place',
            conf => '{"body": ""}',
            body => '',
        },
        {   name    => 'HEAD says nothing of the body that was replaced',
            request => [HEAD => '/headers'],
            headers => { 'content-length' => undef },
            @rewrite,
            body => '',
        },
        {   name => 'nothing is asked for, and nothing changes',
            conf => '{}',
            headers => { 'content-length' => 5, etag => '"tag"' },
            body => 'hello',
        },
        {   name   => 'a configuration that is none',
            conf   => 'body',
            status => 503,
            log    => qr/\[error\] .*response-rewrite: bad configuration: /,
        },
    ],
);
