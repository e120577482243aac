#include "../kernels.h"

namespace langevin::cuda {

void fillHead(OpTable&) {}

}  // namespace langevin::cuda
