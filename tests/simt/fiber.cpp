#include "fiber.h"

#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define TELL(call) __sanitizer_##call
#else
#define TELL(call) (void)0
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace simt
{

/* The sanitizer's frames are several times larger. Pages that are never touched cost nothing. */
static const size_t stack_bytes = 256 << 10;

struct fiber {
    void (*body)(void *);
    void *argument;
    char *stack;
    void *saved; /* by the sanitizer, while it does not run */
#ifdef __x86_64__
    void *top; /* of its stack, while it does not run */
#else
    ucontext_t context;
#endif
};

/* The stack of the scheduler, as the sanitizer wants it. */
static struct {
    const void *stack;
    size_t bytes;
    void *saved;
#ifdef __x86_64__
    void *top;
#else
    ucontext_t context;
#endif
} scheduler;

static fiber *starting;

static void start()
{
    fiber *const self = starting;
    TELL(finish_switch_fiber(nullptr, &scheduler.stack, &scheduler.bytes));
    self->body(self->argument);
    abort();
}

#ifdef __x86_64__
/* swapcontext changes the signal mask, a system call a switch: this saves what the calling convention says a
 * function keeps, and the stack. */
extern "C" void simt_switch(void **from, void *to);
__asm__(".text\n"
        ".type simt_switch, @function\n"
        "simt_switch:\n"
        "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
        "    ret\n"
        ".size simt_switch, . - simt_switch\n");

static void prepare(fiber *made)
{
    /* What simt_switch pops: six registers and the address it returns to; then the address that start() would
     * return to, which leaves the stack aligned as after a call. */
    uintptr_t *const top = reinterpret_cast<uintptr_t *>(made->stack + stack_bytes) - 8;
    top[6] = reinterpret_cast<uintptr_t>(&start);
    made->top = top;
}

static void enter(fiber *entered)
{
    simt_switch(&scheduler.top, entered->top);
}

static void leave(fiber *left)
{
    simt_switch(&left->top, scheduler.top);
}
#else
static void prepare(fiber *made)
{
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->stack;
    made->context.uc_stack.ss_size = stack_bytes;
    makecontext(&made->context, start, 0);
}

static void enter(fiber *entered)
{
    swapcontext(&scheduler.context, &entered->context);
}

static void leave(fiber *left)
{
    swapcontext(&left->context, &scheduler.context);
}
#endif

fiber *fiber_create(void (*body)(void *), void *argument)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    void *const pages =
        mmap(nullptr, guard + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, guard, PROT_NONE) != 0) {
        perror("simt: no stack for a thread");
        abort();
    }
    fiber *const made = new fiber();
    made->body = body;
    made->argument = argument;
    made->stack = static_cast<char *>(pages) + guard;
    prepare(made);
    return made;
}

void fiber_enter(fiber *entered)
{
    starting = entered;
    TELL(start_switch_fiber(&scheduler.saved, entered->stack, stack_bytes));
    enter(entered);
    TELL(finish_switch_fiber(scheduler.saved, nullptr, nullptr));
}

void fiber_leave(fiber *left)
{
    TELL(start_switch_fiber(&left->saved, scheduler.stack, scheduler.bytes));
    leave(left);
    TELL(finish_switch_fiber(left->saved, &scheduler.stack, &scheduler.bytes));
}

} // namespace simt
