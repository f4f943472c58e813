/* The contract suite against a MongoDB server, with transactions and without. */
#ifndef LAPSED_TESTS_MONGO_CONTRACT_H
#define LAPSED_TESTS_MONGO_CONTRACT_H

#include <stdbool.h>

/* `name` as scripts/servers.py has it: MONGODB or MONGODB_STANDALONE. The program's exit status. */
int mongo_contract(const char *name, bool transactions);

#endif
