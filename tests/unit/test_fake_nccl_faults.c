/* How communicators of the fake NCCL begin and end, the faults that it makes up, and the bugs that it finds. */
#define _DEFAULT_SOURCE /* setenv, usleep */

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "nccl_scene.h"

/* ---- beginning and end ---- */

static void test_finalize(void **state)
{
    scene *s = create(2);
    (void)state;
    assert_int_equal(nccl.finalize(s->comm[0]), DIST_NCCL_IN_PROGRESS);
    assert_int_equal(settle(s->comm[0], 0.02), DIST_NCCL_IN_PROGRESS); /* the other has not come */
    assert_int_equal(nccl.finalize(s->comm[1]), DIST_NCCL_IN_PROGRESS);
    for (int r = 0; r < 2; r++)
        assert_int_equal(settle(s->comm[r], 10), 0);
    assert_int_equal(nccl.all_reduce(s->send[0], s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]),
                     INVALID_ARGUMENT);
    for (int r = 0; r < 2; r++)
        assert_int_equal(nccl.destroy(s->comm[r]), 0);
    release(s);
}

/* Two ranks on one device. */
static int share_a_device(void)
{
    void *comm[2];
    dist_nccl_id id;
    int state[2];
    assert_int_equal(nccl.get_unique_id(&id), 0);
    dist_nccl_config config = {.size = sizeof config, .magic = 0xcafebeef, .version = 21800};
    cuda->select(0);
    for (int r = 0; r < 2; r++)
        assert_int_equal(nccl.init_rank(&comm[r], 2, id, r, &config), DIST_NCCL_IN_PROGRESS);
    for (int r = 0; r < 2; r++)
        state[r] = settle(comm[r], 10);
    for (int r = 0; r < 2; r++)
        assert_int_equal(nccl.abort(comm[r]), 0);
    assert_int_equal(state[0], state[1]);
    return state[0];
}

static void test_shared_devices(void **state)
{
    (void)state;
    unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
    assert_int_equal(share_a_device(), DIST_NCCL_INVALID_USAGE);
    assert_non_null(strstr(nccl.last_error(NULL), "Duplicate GPU"));
    setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);
    assert_int_equal(share_a_device(), DIST_NCCL_INVALID_USAGE);
    fake_nccl_set(FAKE_NCCL_VERSION, 23000);
    assert_int_equal(share_a_device(), 0);
    unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
    assert_int_equal(share_a_device(), DIST_NCCL_INVALID_USAGE);
    fake_nccl_set(FAKE_NCCL_VERSION, 22809);
}

/* As nccl_open.c does: all at once, so that in whatever order ranks make them nobody waits. */
static void test_groups_of_communicators(void **state)
{
    scene *s = create(2);
    void *comm[2][3];
    dist_nccl_id id[3];
    (void)state;
    for (int c = 0; c < 3; c++)
        assert_int_equal(nccl.get_unique_id(&id[c]), 0);
    for (int r = 0; r < 2; r++) {
        nccl.group_start();
        for (int i = 0; i < 3; i++) {
            const int c = r ? 2 - i : i;
            assert_int_equal(begin(&comm[r][c], 2, id[c], r), 0);
            assert_non_null(comm[r][c]);
        }
        assert_int_equal(nccl.group_end(), DIST_NCCL_IN_PROGRESS);
        assert_int_equal(settle(comm[r][0], r ? 10 : 0.01), r ? 0 : DIST_NCCL_IN_PROGRESS);
    }
    for (int c = 0; c < 3; c++)
        for (int r = 0; r < 2; r++)
            assert_int_equal(settle(comm[r][c], 10), 0);
    for (int r = 0; r < 2; r++)
        add_one(s, r, comm[r][1], s->stream[r], 0);
    all_end(s);
    for (int c = 0; c < 3; c++)
        abort_ranks(s, (void *[]){comm[0][c], comm[1][c]});
    destroy(s);
}

/* ---- faults ---- */

static void test_refused_and_stuck(void **state)
{
    void *comm[2];
    dist_nccl_id id;
    (void)state;
    fake_nccl_set(FAKE_NCCL_REFUSE, 1);
    assert_int_equal(nccl.get_unique_id(&id), 0);
    assert_int_equal(begin(&comm[1], 2, id, 1), DIST_NCCL_INVALID_USAGE);
    assert_null(comm[1]);
    assert_int_equal(begin(&comm[0], 2, id, 0), DIST_NCCL_IN_PROGRESS);
    assert_int_equal(settle(comm[0], 0.02), DIST_NCCL_IN_PROGRESS);
    assert_int_equal(nccl.abort(comm[0]), 0);
    fake_nccl_set(FAKE_NCCL_REFUSE, -1);
    fake_nccl_set(FAKE_NCCL_STICK, 1);
    assert_int_equal(nccl.get_unique_id(&id), 0);
    for (int r = 0; r < 2; r++)
        assert_int_equal(begin(&comm[r], 2, id, r), DIST_NCCL_IN_PROGRESS);
    assert_int_equal(settle(comm[0], 10), 0);
    assert_int_equal(settle(comm[1], 0.02), DIST_NCCL_IN_PROGRESS);
    for (int r = 0; r < 2; r++)
        assert_int_equal(nccl.abort(comm[r]), 0);
    fake_nccl_set(FAKE_NCCL_STICK, -1);
}

static void test_lost_peer(void **state)
{
    scene *s = create(3);
    (void)state;
    fake_nccl_set(FAKE_NCCL_LOSE, 1);
    for (int r = 0; r < 3; r++)
        add_one(s, r, s->comm[r], s->stream[r], 0);
    for (int r = 0; r < 3; r++) {
        assert_false(ends(s, r, s->stream[r], 0.02));
        assert_int_equal(state_of(s->comm[r]), 0);
    }
    assert_int_equal(nccl.abort(s->comm[1]), 0); /* frees its own kernel alone */
    assert_true(ends(s, 1, s->stream[1], 10));
    assert_false(ends(s, 0, s->stream[0], 0.02));
    for (int r = 0; r < 3; r += 2)
        assert_int_equal(nccl.abort(s->comm[r]), 0);
    all_end(s);
    fake_nccl_set(FAKE_NCCL_LOSE, -1);
    release(s);
}

static void test_broken_after_some_operations(void **state)
{
    scene *s = create(2);
    (void)state;
    fake_nccl_set(FAKE_NCCL_BREAK, 5);
    for (int i = 0; i < 2; i++)
        for (int r = 0; r < 2; r++)
            add_one(s, r, s->comm[r], s->stream[r], 0);
    all_end(s);
    assert_int_equal(state_of(s->comm[1]), 0);
    const int result =
        nccl.all_reduce(s->send[0], s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]); /* the fifth */
    assert_true(result == REMOTE_ERROR || result == DIST_NCCL_IN_PROGRESS);
    for (int r = 0; r < 2; r++)
        assert_int_equal(state_of(s->comm[r]), REMOTE_ERROR);
    assert_string_equal(nccl.last_error(s->comm[0]), FAKE_NCCL_SENTENCE);
    abort_ranks(s, s->comm);
    all_end(s);
    assert_int_equal(fake_nccl_set(FAKE_NCCL_BREAK, -1), 0);
    release(s);
}

/* ---- bugs of the caller: each in a process of its own ---- */

/* What the process said before it ended; "" when it did not end by itself. */
static const char *words_of(void (*run)(void), char words[1000])
{
    int status = 0, end[2];
    ssize_t length = 0, got;
    assert_int_equal(pipe(end), 0);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(end[1], 2);
        load();
        run();
        _exit(0);
    }
    close(end[1]);
    while (length < 999 && (got = read(end[0], words + length, 999 - (size_t)length)) > 0)
        length += got;
    close(end[0]);
    words[length] = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : words;
}

static void differ_in_count(void)
{
    scene *s = create(2);
    for (int r = 0; r < 2; r++)
        launched(s->comm[r], nccl.all_reduce(s->send[r], s->receive[r], 4 + (size_t)r, FLOAT, SUM, s->comm[r],
                                             s->stream[r]));
    all_end(s);
}

static void differ_in_kind(void)
{
    scene *s = create(2);
    launched(s->comm[0], nccl.all_reduce(s->send[0], s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]));
    launched(s->comm[1], nccl.send(s->send[1], 4, FLOAT, 0, s->comm[1], s->stream[1]));
    all_end(s);
}

static void differ_in_number(void)
{
    void *comm;
    dist_nccl_id id;
    nccl.get_unique_id(&id);
    begin(&comm, 2, id, 0);
    begin(&comm, 3, id, 1);
}

static void host_memory(void)
{
    scene *s = create(1);
    float local[4] = {0};
    nccl.all_reduce(local, s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]);
}

static void beyond_the_end(void)
{
    scene *s = create(1);
    nccl.all_reduce(s->send[0] + BYTES - 8, s->receive[0], 4, FLOAT, SUM, s->comm[0], s->stream[0]);
}

static void half_in_place(void)
{
    scene *s = create(1);
    nccl.all_reduce(s->send[0], s->send[0] + 8, 4, FLOAT, SUM, s->comm[0], s->stream[0]);
}

static void use_after_abort(void)
{
    scene *s = create(1);
    nccl.abort(s->comm[0]);
    state_of(s->comm[0]);
}

static void nothing_wrong(void)
{
    scene *s = create(2);
    for (int r = 0; r < 2; r++)
        add_one(s, r, s->comm[r], s->stream[r], 0);
    all_end(s);
    destroy(s);
}

static void test_bugs_end_the_process(void **state)
{
    char words[1000];
    (void)state;
    assert_non_null(strstr(words_of(differ_in_count, words), "members of one communicator disagree: rank"));
    assert_non_null(strstr(words_of(differ_in_kind, words), "members of one communicator disagree: rank"));
    assert_non_null(strstr(words_of(differ_in_number, words), "disagree about their number"));
    assert_non_null(strstr(words_of(host_memory, words), "not memory of the device"));
    assert_non_null(strstr(words_of(beyond_the_end, words), "there are not 16 bytes"));
    assert_non_null(strstr(words_of(half_in_place, words), "overlap"));
    assert_non_null(strstr(words_of(use_after_abort, words), "a communicator is used that is not there"));
    assert_string_equal(words_of(nothing_wrong, words), "");
}

static void read_settings(void)
{
    int version = 0;
    setenv("FAKE_NCCL_STICK", "2", 1);
    setenv("FAKE_NCCL_VERSION", "23001",
           1); /* not too late: nothing has been read but the version of load() */
    nccl.get_version(&version);
    fprintf(stderr, "%d %ld", version, fake_nccl_get(FAKE_NCCL_STICK));
    abort();
}

static void test_environment(void **state)
{
    char words[1000];
    (void)state;
    setenv("FAKE_NCCL_STICK", "1", 1);
    setenv("FAKE_NCCL_VERSION", "22000", 1);
    assert_non_null(strstr(words_of(read_settings, words), "22000 1")); /* it was read when first used */
    unsetenv("FAKE_NCCL_STICK");
    unsetenv("FAKE_NCCL_VERSION");
}

/* ---- nothing is left ---- */

static int count_files(void)
{
    int files = 0;
    char path[300], target[100];
    DIR *folder = opendir("/proc/self/fd");
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        const ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = 0;
        files += strstr(target, "memfd:fake_nccl") != NULL;
    }
    closedir(folder);
    return files;
}

static int count_mappings(void)
{
    char line[1000];
    int mappings = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file))
        mappings += strstr(line, "memfd:fake_nccl") != NULL;
    fclose(file);
    return mappings;
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(count_files(), 0);
    assert_int_equal(count_mappings(), 0);
    scene *s = create(2);
    assert_int_equal(count_files(), 0); /* all have joined */
    assert_int_equal(count_mappings(), 2);
    destroy(s);
    assert_int_equal(count_mappings(), 0);
}

int main(void)
{
    const struct CMUnitTest of_bugs[] = {
        cmocka_unit_test(test_bugs_end_the_process),
        cmocka_unit_test(test_environment),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finalize),
        cmocka_unit_test(test_shared_devices),
        cmocka_unit_test(test_groups_of_communicators),
        cmocka_unit_test(test_refused_and_stuck),
        cmocka_unit_test(test_lost_peer),
        cmocka_unit_test(test_broken_after_some_operations),
        cmocka_unit_test(test_nothing_is_left),
    };
    const int failed = cmocka_run_group_tests(of_bugs, NULL, NULL); /* before this process has threads */
    load();
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
