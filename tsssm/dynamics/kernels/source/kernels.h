/* All kernels for one instruction set, in float and in double. */

#define NAME(x) PASTE(PASTE(x, float), SET)
#define R float
#define RINT int32_t
#define DOUBLE 0
#define W (BYTES / 4)
#include "vectors.h"
#include "block.h"
#include "scan.h"
#include "tasks.h"
#include "cauchy.h"
#include "recurrence.h"
#include "trajectory.h"
#include "selective.h"
#include "selective_tasks.h"
#include "lowrank.h"
#include "pairs.h"
#include "bank.h"
#include "undo.h"

#define NAME(x) PASTE(PASTE(x, double), SET)
#define R double
#define RINT int64_t
#define DOUBLE 1
#define W (BYTES / 8)
#include "vectors.h"
#include "block.h"
#include "scan.h"
#include "tasks.h"
#include "cauchy.h"
#include "recurrence.h"
#include "trajectory.h"
#include "selective.h"
#include "selective_tasks.h"
#include "lowrank.h"
#include "pairs.h"
#include "undo.h"

#undef SET
#undef BYTES
