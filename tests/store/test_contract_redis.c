/* The contract suite against Redis. Records are hashes whose field `at` holds their time as text. */
#include "contract.h"

#include "base/time.h"
#include "store/redis.h"

#include <check.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *admin_url;
static pid_t server;

/* A connection of its own: Check runs every test in a process of its own. */
static redisContext *admin(void) {
    static redisContext *connection;
    char password[200], host[200];
    int port;
    if (connection) return connection;
    ck_assert_int_eq(sscanf(admin_url, "redis://%*[^:]:%199[^@]@%199[^:]:%d", password, host, &port), 3);
    connection = redisConnect(host, port);
    ck_assert(connection && !connection->err);
    freeReplyObject(redisCommand(connection, "AUTH %s", password));
    return connection;
}

static long long ask(redisReply *reply) {
    ck_assert_ptr_nonnull(reply);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s", reply->str);
    long long number = reply->integer;
    freeReplyObject(reply);
    return number;
}

static void reset(void) { ask(redisCommand(admin(), "FLUSHDB")); }

static bool put(int number, const char *tenant, int64_t anchor_us) {
    if (anchor_us == ANCHOR_MISSING) ask(redisCommand(admin(), "HSET contract:%s:%d name x", tenant, number));
    else ask(redisCommand(admin(), "HSET contract:%s:%d name x at %s", tenant, number, time_format(anchor_us).text));
    return true;
}

static bool has(int number, const char *tenant) { return ask(redisCommand(admin(), "EXISTS contract:%s:%d", tenant, number)) == 1; }

static size_t size(void) { return (size_t)ask(redisCommand(admin(), "DBSIZE")); }

static void stall(bool stalled) { contract_stall(server, stalled); }

int main(void) {
    server = (pid_t)strtol(contract_variable("LAPSED_TEST_REDIS_PID"), NULL, 10);
    admin_url = contract_variable("LAPSED_TEST_REDIS_ADMIN");
    const struct fixture fixture = {
        .name = "contract: Redis",
        .driver = &redis_driver,
        .url = contract_variable("LAPSED_TEST_REDIS"),
        .password = contract_variable("LAPSED_TEST_PASSWORD"),
        .kind = TARGET_KEYS,
        .target = "contract:{tenant}:*",
        .tenant_in_name = true,
        .since = "field:at",
        .grain_us = 1,
        .irrevocable = true,
        .stall = stall,
        .interrupts_waits = true,
        .reset = reset,
        .put = put,
        .has = has,
        .size = size,
    };
    return contract_run(&fixture) ? EXIT_FAILURE : EXIT_SUCCESS;
}
