/*
 * What the sanitizers in an instrumented nginx are told by default, whoever starts it.
 * ASAN_OPTIONS, UBSAN_OPTIONS and LSAN_OPTIONS add to it.
 */

#include <ngx_config.h>
#include <ngx_core.h>


const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void);
int __lsan_is_turned_off(void);


/*
 * Segmentation faults stay with whoever asks for them: wasmtime makes traps of those of a guest,
 * and hands others on. detect_stack_use_after_return is off because it moves frames to the heap,
 * where wasmtime and LuaJIT would not find the stack's bounds.
 */
const char *
__asan_default_options(void)
{
    return "detect_leaks=1:allow_user_segv_handler=1:detect_stack_use_after_return=0"
           ":exitcode=77";
}


const char *
__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}


/* Every worker has something that is suppressed: a report is of what is not. */
const char *
__lsan_default_options(void)
{
    return "print_suppressions=0";
}


/*
 * What nginx keeps until its process ends, and forgets the address of. No stack here has a frame
 * of the module above the one that is named: what the module loses is a defect.
 *
 * ngx_event_process_init: a worker's connections and events; the cycle that pointed at them is
 * freed.
 * ngx_set_environment: the process's environment.
 * ngx_regex_malloc: the context that PCRE2 compiles in, when another configuration is read.
 */
const char *
__lsan_default_suppressions(void)
{
    return "leak:ngx_event_process_init\n"
           "leak:ngx_set_environment\n"
           "leak:ngx_regex_malloc\n";
}


/*
 * "nginx -t" and a start that fails free nothing of the configuration: main() returns, and what
 * pointed at it was on its stack.
 */
int
__lsan_is_turned_off(void)
{
    return ngx_test_config
           || (ngx_process == NGX_PROCESS_SINGLE && !ngx_terminate && !ngx_quit);
}
