#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillMatmul(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
