//! The bit-fields of `ngx_http_request_t`, read and written in C.
//!
//! Do not use nginx-sys's accessors for a request's bit-fields. bindgen (0.72) computes their
//! places, and takes the first of a row of bit-fields as aligned. Since nginx 1.29 the row follows
//! a member of two bytes, `port`, so from `uri_changes` on all fields are two bits further than
//! bindgen says.

use crate::Request;

macro_rules! bits {
    (get { $($get:ident = $c_get:ident),+ $(,)? } set { $($set:ident = $c_set:ident),+ $(,)? }) => {
        // SAFETY: the functions of request_bits.c need a valid request, as its handle promises.
        unsafe extern "C" {
            $(safe fn $c_get(r: Request<'_>) -> u32;)+
            $(safe fn $c_set(r: Request<'_>, value: u32);)+
        }

        impl Request<'_> {
            $(
                #[inline]
                pub(crate) fn $get(self) -> u32 {
                    $c_get(self)
                }
            )+
            $(
                /// Bits that do not fit into the field are lost.
                #[inline]
                pub(crate) fn $set(self, value: u32) {
                    $c_set(self, value)
                }
            )+
        }
    };
}

bits! {
    get {
        background_bit = ngx_bindings_request_background,
        blocked_bits = ngx_bindings_request_blocked,
        buffered_bits = ngx_bindings_request_buffered,
        chunked_bit = ngx_bindings_request_chunked,
        complex_uri_bit = ngx_bindings_request_complex_uri,
        count_bits = ngx_bindings_request_count,
        discard_body_bit = ngx_bindings_request_discard_body,
        done_bit = ngx_bindings_request_done,
        filter_finalize_bit = ngx_bindings_request_filter_finalize,
        filter_need_in_memory_bit = ngx_bindings_request_filter_need_in_memory,
        filter_need_temporary_bit = ngx_bindings_request_filter_need_temporary,
        header_only_bit = ngx_bindings_request_header_only,
        header_sent_bit = ngx_bindings_request_header_sent,
        internal_bit = ngx_bindings_request_internal,
        keepalive_bit = ngx_bindings_request_keepalive,
        plus_in_uri_bit = ngx_bindings_request_plus_in_uri,
        quoted_uri_bit = ngx_bindings_request_quoted_uri,
        post_action_bit = ngx_bindings_request_post_action,
        reading_body_bit = ngx_bindings_request_reading_body,
        main_filter_need_in_memory_bit = ngx_bindings_request_main_filter_need_in_memory,
        request_body_file_group_access_bit = ngx_bindings_request_request_body_file_group_access,
        request_body_in_clean_file_bit = ngx_bindings_request_request_body_in_clean_file,
        request_body_in_file_only_bit = ngx_bindings_request_request_body_in_file_only,
        request_body_no_buffering_bit = ngx_bindings_request_request_body_no_buffering,
        request_body_in_persistent_file_bit = ngx_bindings_request_request_body_in_persistent_file,
    }
    set {
        set_allow_ranges_bit = ngx_bindings_request_set_allow_ranges,
        set_buffered_bits = ngx_bindings_request_set_buffered,
        set_count_bits = ngx_bindings_request_set_count,
        set_error_page_bit = ngx_bindings_request_set_error_page,
        set_expect_trailers_bit = ngx_bindings_request_set_expect_trailers,
        set_internal_bit = ngx_bindings_request_set_internal,
        set_keepalive_bit = ngx_bindings_request_set_keepalive,
        set_lingering_close_bit = ngx_bindings_request_set_lingering_close,
        set_plus_in_uri_bit = ngx_bindings_request_set_plus_in_uri,
        set_preserve_body_bit = ngx_bindings_request_set_preserve_body,
        set_quoted_uri_bit = ngx_bindings_request_set_quoted_uri,
        set_request_body_file_group_access_bit = ngx_bindings_request_set_request_body_file_group_access,
        set_request_body_file_log_level_bits = ngx_bindings_request_set_request_body_file_log_level,
        set_request_body_in_clean_file_bit = ngx_bindings_request_set_request_body_in_clean_file,
        set_request_body_in_file_only_bit = ngx_bindings_request_set_request_body_in_file_only,
        set_request_body_no_buffering_bit = ngx_bindings_request_set_request_body_no_buffering,
        set_request_body_in_persistent_file_bit = ngx_bindings_request_set_request_body_in_persistent_file,
        set_single_range_bit = ngx_bindings_request_set_single_range,
        set_uri_changed_bit = ngx_bindings_request_set_uri_changed,
        set_valid_location_bit = ngx_bindings_request_set_valid_location,
        set_valid_unparsed_uri_bit = ngx_bindings_request_set_valid_unparsed_uri,
    }
}
