#include "../kernels.h"

namespace langevin::LANGEVIN_ISA {

void fillReduce(OpTable& ops) { (void)ops; }

}  // namespace langevin::LANGEVIN_ISA
