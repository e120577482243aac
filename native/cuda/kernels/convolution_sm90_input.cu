// The input-gradient kernels of convolution_sm90.cu: one for each tile. In a file of their own, as each takes seconds
// to compile.
#include "convolution_sm90_kernel.h"

namespace langevin::cuda::sm90 {

template <class Tile>
Kernel inputGradientKernel() {
  return convolve<Tile, Pass::inputGradient>;
}
template Kernel inputGradientKernel<Tile256x160>();
template Kernel inputGradientKernel<Tile128x160>();
template Kernel inputGradientKernel<Tile256x128>();
template Kernel inputGradientKernel<Tile128x128>();
template Kernel inputGradientKernel<Tile128x64>();
template Kernel inputGradientKernel<Tile128x32>();

}  // namespace langevin::cuda::sm90
