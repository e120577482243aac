#include "../kernels.h"

namespace langevin::cuda {

void fillPool(OpTable&) {}

}  // namespace langevin::cuda
