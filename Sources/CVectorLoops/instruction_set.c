// Which of the instruction sets that every loop is built for runs.
#include <stdlib.h>

#include "loops.h"

static const char *const names[] = {"any", "v3", "v4"};

int chosen_set = 0;
static bool is_missing = false;

size_t vector_instruction_sets(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return 3;
  if (__builtin_cpu_supports("x86-64-v3")) return 2;
#endif
  return 1;
}

const char *vector_instruction_set_name(size_t set) { return names[set]; }

bool vector_instruction_set_is_missing(void) { return is_missing; }

// Before `main`: packed weights are laid out for one set, so it can't change later.
__attribute__((constructor)) static void choose(void) {
  const size_t count = vector_instruction_sets();
  const char *asked = getenv("TI_GPU_INSTRUCTION_SET");
  chosen_set = (int)count - 1;
  if (!asked) return;
  for (size_t set = 0; set < count; ++set)
    if (strcmp(asked, names[set]) == 0) {
      chosen_set = (int)set;
      return;
    }
  is_missing = true;
}
