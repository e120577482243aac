#include "../kernels.h"

namespace langevin::cuda {

void fillTraining(OpTable&) {}

}  // namespace langevin::cuda
