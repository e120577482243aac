#include "../kernels.h"

namespace langevin::cuda {

void fillRandom(OpTable&) {}

}  // namespace langevin::cuda
