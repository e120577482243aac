// The files that fill the element-wise part of the op table.
#pragma once
#include "../stream.h"

namespace langevin::cuda {

void fillUnary(OpTable& ops);
void fillBroadcast(OpTable& ops);

}  // namespace langevin::cuda
