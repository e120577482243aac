// What the replay of a captured graph needs beside it: a number written in stream order, without a copy from the host.
#include "../graphs.h"

namespace langevin {

namespace {

__global__ void storeNumber(int64_t* place, int64_t value) { *place = value; }

}  // namespace

void setOnDevice(Stream& stream, int64_t* place, int64_t value) { stream.launch(storeNumber, {}, place, value); }

}  // namespace langevin
