# What nginx's Makefile gets for the module: make modules has cargo build it, and make install puts
# it beside nginx's other modules. To be set for make: NGX_PROXY_WASM_PROFILE, a profile of
# Cargo.toml (release), and CARGO_TARGET_DIR, where cargo builds (a folder in nginx's objs).

ngx_proxy_wasm_so=$NGX_OBJS/ngx_http_proxy_wasm_module.so

# auto/install, which comes later, completes the path in the same way.
case ".$NGX_MODULES_PATH" in
    ./*) ngx_proxy_wasm_to=$NGX_MODULES_PATH ;;
    *)   ngx_proxy_wasm_to=$NGX_PREFIX/$NGX_MODULES_PATH ;;
esac
ngx_proxy_wasm_to=$ngx_proxy_wasm_to/ngx_http_proxy_wasm_module.so

cat << END >> $NGX_MAKEFILE

modules:	$ngx_proxy_wasm_so

install:	install_proxy_wasm

# cargo finds out what has changed, so it is always asked.
.PHONY:	$ngx_proxy_wasm_so install_proxy_wasm

$ngx_proxy_wasm_so:
	profile="\$\${NGX_PROXY_WASM_PROFILE:-release}" \\
	&& target="\$\${CARGO_TARGET_DIR:-$NGX_OBJS/ngx_http_proxy_wasm_module}" \\
	&& NGINX_SOURCE_DIR="\$\$(pwd)" NGINX_BUILD_DIR="\$\$(cd $NGX_OBJS && pwd)" \\
		cargo build --locked --manifest-path $ngx_addon_dir/Cargo.toml \\
			--profile "\$\$profile" --target-dir "\$\$target" \\
	&& cp "\$\$target/\$\$profile/libngx_http_proxy_wasm_module.so" $ngx_proxy_wasm_so.new \\
	&& mv $ngx_proxy_wasm_so.new $ngx_proxy_wasm_so

install_proxy_wasm:	$ngx_proxy_wasm_so
	mkdir -p '\$(DESTDIR)$(dirname "$ngx_proxy_wasm_to")'
	test ! -f '\$(DESTDIR)$ngx_proxy_wasm_to' \\
		|| mv '\$(DESTDIR)$ngx_proxy_wasm_to' '\$(DESTDIR)$ngx_proxy_wasm_to.old'
	cp $ngx_proxy_wasm_so '\$(DESTDIR)$ngx_proxy_wasm_to'
END
