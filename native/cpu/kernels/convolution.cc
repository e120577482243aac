#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillConvolution(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
