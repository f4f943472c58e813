/* The spool: whole files of a known owner come through, and nothing that only looks like one. */
#include "base/text.h"
#include "base/time.h"
#include "request/request.h"
#include "request/spool.h"
#include "temporary.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[TEMPORARY_ROOM];
static struct spool *spool;
static struct arena *arena;
static struct err err;

static void setup(void) {
    ck_assert(temporary_folder(folder));
    arena = arena_new();
    (void)umask(077); /* the folders' modes are ours all the same */
    ck_assert_msg(!spool_open(folder, &spool, &err), "%s", err.text);
}

static void teardown(void) {
    char command[2 * TEMPORARY_ROOM];
    spool_close(spool);
    arena_free(arena);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *path_of(const char *part, const char *name) { return arena_printf(arena, "%s/spool/%s/%s", folder, part, name); }

static void put(const char *name, const char *text, size_t length) {
    ck_assert_msg(!text_replace_file(path_of("new", name), text, length, 0644, &err), "%s", err.text);
}

static const char *fault_of(const char *name) {
    struct spool_item item;
    ck_assert(spool_read(spool, arena, name, &item));
    ck_assert((item.fault != NULL) == (item.bytes == NULL));
    return item.fault ? item.fault : "";
}

START_TEST(what_is_submitted_is_read_with_its_owner) {
    setup();
    struct spool_item item;
    const char *const *names;
    size_t count;
    ck_assert_msg(!spool_submit(folder, "hold-1", "{}\n", &err), "%s", err.text);
    ck_assert_int_eq(spool_list(spool, arena, 10, &names, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "hold-1");
    ck_assert(spool_read(spool, arena, "hold-1", &item));
    ck_assert(!item.fault && item.length == 3 && item.author == geteuid());
    ck_assert_str_eq(item.sha256, "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356");
    ck_assert_int_eq(spool_submit(folder, "hold-1", "{ }\n", &err), -1);
    ck_assert_int_eq(err.code, ERR_REFUSED);
    ck_assert_int_eq(spool_list(spool, arena, 10, &names, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(spool_remove(spool, "hold-1", &err), 0);
    ck_assert(!spool_read(spool, arena, "hold-1", &item));
    teardown();
}
END_TEST

START_TEST(what_came_first_is_listed_first) {
    static const char *const sent[] = {"resume-9", "pause-1", "hold-5"};
    setup();
    const char *const *names;
    size_t count;
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(spool_submit(folder, sent[i], "{}", &err), 0);
        /* The kernel's clock for files goes in steps. */
        struct stat first, now;
        ck_assert_int_eq(stat(path_of("new", sent[i]), &first), 0);
        do {
            put("later", "{}", 2);
            ck_assert_int_eq(stat(path_of("new", "later"), &now), 0);
        } while (now.st_ctim.tv_sec == first.st_ctim.tv_sec && now.st_ctim.tv_nsec == first.st_ctim.tv_nsec);
    }
    ck_assert_int_eq(spool_list(spool, arena, 2, &names, &count, &err), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(names[0], sent[0]);
    ck_assert_str_eq(names[1], sent[1]);
    ck_assert_int_eq(spool_list(spool, arena, 10, &names, &count, &err), 0);
    ck_assert_uint_eq(count, 4);
    ck_assert_str_eq(names[2], sent[2]);
    ck_assert_int_eq(spool_submit(folder, "pause-1", "{}", &err), 0); /* the same again waits for the same answer */
    ck_assert_int_eq(spool_submit(folder, "pause-1", "{ }", &err), -1);
    teardown();
}
END_TEST

START_TEST(an_arrival_is_seen) {
    setup();
    struct pollfd events = {.fd = spool_watch(spool), .events = POLLIN};
    ck_assert_int_eq(poll(&events, 1, 0), 0);
    ck_assert_int_eq(spool_submit(folder, "a", "{}", &err), 0);
    ck_assert_int_eq(poll(&events, 1, 1000), 1);
    spool_drain(spool);
    ck_assert_int_eq(poll(&events, 1, 0), 0);
    teardown();
}
END_TEST

START_TEST(folders_keep_strangers_out) {
    setup();
    struct stat found;
    ck_assert_int_eq(stat(path_of("new", ""), &found), 0);
    ck_assert_uint_eq(found.st_mode & 07777, 01770);
    ck_assert_int_eq(stat(path_of("tmp", ""), &found), 0);
    ck_assert_uint_eq(found.st_mode & 07777, 01770);
    ck_assert_int_eq(stat(path_of("done", ""), &found), 0);
    ck_assert_uint_eq(found.st_mode & 07777, 0750);
    teardown();
}
END_TEST

START_TEST(folders_that_were_there_before_are_no_way_in) {
    struct stat found;
    setup();
    spool_close(spool);
    spool = NULL;
    ck_assert_int_eq(chmod(path_of("new", "."), 0777), 0); /* anybody, and no sticky bit */
    ck_assert_msg(!spool_open(folder, &spool, &err), "%s", err.text);
    ck_assert_int_eq(stat(path_of("new", "."), &found), 0);
    ck_assert_uint_eq(found.st_mode & 07777, 01770);
    spool_close(spool);
    spool = NULL;
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path_of("new", "."), 65534, 65534), 0);
        ck_assert_int_eq(spool_open(folder, &spool, &err), -1);
        ck_assert_int_eq(err.code, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "belongs to user 65534"));
    }
    teardown();
}
END_TEST

START_TEST(the_owner_is_who_the_kernel_says) {
    setup();
    struct spool_item item;
    if (geteuid() == 0) { /* only root can give a file away */
        put("forged", "{}", 2);
        ck_assert_int_eq(chown(path_of("new", "forged"), 65534, 65534), 0);
        ck_assert(spool_read(spool, arena, "forged", &item));
        ck_assert_int_eq(item.author, 65534);
    }
    teardown();
}
END_TEST

START_TEST(what_only_looks_like_a_request_is_not_read) {
    setup();
    static char large[1 << 20];
    memset(large, ' ', sizeof large);
    put("large", large, sizeof large);
    ck_assert_str_eq(fault_of("large"), "size");
    put("full", large, REQUEST_MOST_BYTES);
    ck_assert_str_eq(fault_of("full"), "");
    put("over", large, REQUEST_MOST_BYTES + 1);
    ck_assert_str_eq(fault_of("over"), "size");
    put("file", "{}", 2);
    ck_assert_int_eq(link(path_of("new", "file"), path_of("tmp", "twin")), 0);
    ck_assert_str_eq(fault_of("file"), "file");
    ck_assert_int_eq(symlink("/etc/passwd", path_of("new", "symlink")), 0);
    ck_assert_str_eq(fault_of("symlink"), "file");
    ck_assert_int_eq(mkfifo(path_of("new", "fifo"), 0644), 0);
    ck_assert_str_eq(fault_of("fifo"), "file");
    ck_assert_int_eq(mkdir(path_of("new", "folder"), 0755), 0);
    ck_assert_str_eq(fault_of("folder"), "file");
    put("Name", "{}", 2);
    ck_assert_str_eq(fault_of("Name"), "name");
    put(".hidden", "{}", 2);
    ck_assert_str_eq(fault_of(".hidden"), "name");
    static const char *const all[] = {"large", "full", "over", "file", "symlink", "fifo", "folder", "Name", ".hidden"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ck_assert_msg(!spool_remove(spool, all[i], &err), "%s", err.text);
    teardown();
}
END_TEST

START_TEST(who_asked_gets_the_answer) {
    setup();
    const char *answer;
    bool final;
    ck_assert_int_eq(spool_submit(folder, "a", "{}", &err), 0);
    ck_assert_int_eq(spool_wait(folder, "a", 1000, arena, &answer, &final, &err), 0);
    ck_assert(!answer && !final);
    ck_assert_int_eq(spool_answer(spool, "a", "waits", &err), 0);
    ck_assert_int_eq(spool_wait(folder, "a", 1000, arena, &answer, &final, &err), 0);
    ck_assert(!final);
    ck_assert_str_eq(answer, "waits");
    ck_assert_int_eq(spool_answer(spool, "a", "done", &err), 0);
    ck_assert_int_eq(spool_remove(spool, "a", &err), 0);
    ck_assert_int_eq(spool_wait(folder, "a", 1000, arena, &answer, &final, &err), 0);
    ck_assert(final);
    ck_assert_str_eq(answer, "done");
    teardown();
}
END_TEST

START_TEST(an_answer_leaves_the_others_alone) {
    setup();
    static const char *const ids[] = {"x.new", "x", "x.new.new", "x.answer", "answer"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) ck_assert_msg(!spool_answer(spool, ids[i], ids[i], &err), "%s", err.text);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char *text;
        size_t length;
        ck_assert_msg(!text_read_file(path_of("done", ids[i]), 100, &text, &length, &err), "%s", err.text);
        ck_assert_str_eq(text, ids[i]);
        free(text);
    }
    teardown();
}
END_TEST

START_TEST(old_answers_go) {
    setup();
    struct stat found;
    ck_assert_int_eq(spool_answer(spool, "old", "x", &err), 0);
    spool_tidy(spool, time_now_us() + 29 * TIME_DAY_US);
    ck_assert_int_eq(stat(path_of("done", "old"), &found), 0);
    spool_tidy(spool, time_now_us() + 31 * TIME_DAY_US);
    ck_assert_int_ne(stat(path_of("done", "old"), &found), 0);
    teardown();
}
END_TEST

START_TEST(without_a_spool_it_says_so) {
    ck_assert_int_eq(spool_submit("/nonexistent-folder", "a", "{}", &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
}
END_TEST

UNIT_MAIN("spool", what_is_submitted_is_read_with_its_owner, what_came_first_is_listed_first, an_arrival_is_seen, folders_keep_strangers_out, folders_that_were_there_before_are_no_way_in, the_owner_is_who_the_kernel_says,
          what_only_looks_like_a_request_is_not_read, who_asked_gets_the_answer, an_answer_leaves_the_others_alone, old_answers_go, without_a_spool_it_says_so)
