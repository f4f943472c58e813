#include "mongo_contract.h"

int main(void) { return mongo_contract("MONGODB_STANDALONE", false); }
