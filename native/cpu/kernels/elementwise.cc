#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillElementwise(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
