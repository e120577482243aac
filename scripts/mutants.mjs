// Seeded bugs of the CUDA kernels for test-mutants.mjs: `from`, which is in the file once, is replaced by `to`, and
// `test` must fail. They are the bugs that such kernels have: a barrier or a wait too few, an index, a stride, a mask or
// a phase that is off by a little, a rounding or a bound that only some shapes show.

const forward = (op) => ({
  file: 'test/ops/forward.test.ts',
  name: `cuda: results are those of the definition, whatever the sizes, dtype and instruction set ${op}`,
})
const gradients = (op) => ({
  file: 'test/ops/gradients.test.ts',
  name: `cuda: gradients of ${op} in f32 and bf16 are those of float64 on the CPU`,
})
const large = (what) => ({
  file: 'test/ops/large.test.ts',
  name: `cuda: every element of a large tensor is done ${what}`,
})
const random = (op) => ({
  file: 'test/ops/determinism.test.ts',
  name: `random numbers are the same bits on every device and instruction set ${op}`,
})
const fuzz = (op) => ({
  file: 'test/native/fuzz.test.ts',
  name: `cuda: a call with arbitrary arguments is done or refused ${op}`,
})
const stream = (name) => ({ file: 'test/native/stream.test.ts', name: `cuda ${name}` })

const kernels = 'native/cuda/kernels'

const memory = [
  {
    what: 'a transpose reads its tile before it is whole',
    file: `${kernels}/memory.cu`,
    from: `    __syncthreads();
    for (int r = first;`,
    to: '    for (int r = first;',
    test: forward('transpose'),
  },
  {
    what: 'a transpose overwrites its tile while it is read',
    file: `${kernels}/memory.cu`,
    from: `    }
    __syncthreads();
  }`,
    to: `    }
  }`,
    test: large('transpose'),
  },
  {
    what: 'a copy moves wider words than its outer strides allow',
    file: `${kernels}/memory.cu`,
    from: 'all |= static_cast<uint64_t>(space.stride[0][axis] * size)',
    to: 'all |= static_cast<uint64_t>(16)',
    test: large('a copy of rows'),
  },
  {
    what: 'a grid goes on beyond what it has done',
    file: `${kernels}/memory.cu`,
    from: 'i += itemStride()) y[yAt',
    to: 'i += 2 * itemStride()) y[yAt',
    test: large('a copy that flips'),
  },
  {
    what: 'duplicate rows are scattered by different threads',
    file: `${kernels}/memory.cu`,
    from: '(static_cast<unsigned>(row) & (gridDim.y - 1)) != blockIdx.y',
    to: '(static_cast<unsigned>(i) & (gridDim.y - 1)) != blockIdx.y',
    test: large('scatterRows'),
  },
  {
    what: 'an index equal to the number of rows is taken for one inside',
    file: `${kernels}/memory.cu`,
    from: 'checkedIndex(index, to, rows, faults)',
    to: 'checkedIndex(index, to, rows + 1, faults)',
    test: stream('every index and label out of range is a fault, not another tensor’s memory'),
  },
  {
    what: 'a quotient loses the upper bit of its multiplier',
    file: 'native/core/divider.h',
    from: '(static_cast<uint64_t>(product >> 64) + static_cast<uint64_t>(n)) >> shift_',
    to: 'static_cast<uint64_t>(product >> 64) >> shift_',
    test: forward('transpose'),
  },
]

const elementwise = [
  {
    what: 'bf16 pairs are stored the wrong way round',
    file: 'native/cuda/groups.h',
    from: 'ptx::packBf16(wide[i], wide[i + 1])',
    to: 'ptx::packBf16(wide[i + 1], wide[i])',
    test: forward('exp'),
  },
  {
    what: 'sign bits come in the wrong order',
    file: `${kernels}/elementwise.cu`,
    from: 'static_cast<unsigned>(positive) << i',
    to: 'static_cast<unsigned>(positive) << (kOctet - 1 - i)',
    test: gradients('leakyRelu'),
  },
  {
    what: 'a broadcast operand is read as a vector where its rows are not aligned',
    file: 'native/cuda/strided.h',
    from: 'if (!strided_.keepsGroups(N)) return;',
    to: '',
    test: forward('add'),
  },
  {
    what: 'the maximum of a number and NaN is the number',
    file: `${kernels}/elementwise_broadcast.cu`,
    from: 'return u != u ? u : larger;',
    to: 'return larger;',
    test: forward('maximum'),
  },
]

const randomAndTraining = [
  {
    what: 'each launch draws from the next counter but one',
    file: 'native/cuda/random.h',
    from: 'philox4x32(static_cast<uint32_t>(counter),',
    to: 'philox4x32(static_cast<uint32_t>(counter + 1),',
    test: random('normal'),
  },
  {
    what: 'dropout keeps one number too many',
    file: `${kernels}/random.cu`,
    from: 'std::ceil(p * 0x1p24)',
    to: 'std::floor(p * 0x1p23)',
    test: random('dropout'),
  },
  {
    what: 'SGLD clips the step instead of the gradient',
    file: `${kernels}/training.cu`,
    from: 'stepSize * clampOf(g, -clip, clip)',
    to: 'clampOf(stepSize * g, -clip, clip)',
    test: forward('sgldUpdate'),
  },
  {
    what: 'bytes are looked up before the table of their values is whole',
    file: `${kernels}/training_images.cu`,
    from: `  __syncthreads();
`,
    to: '',
    test: forward('imageBatch'),
  },
  {
    what: 'the crop of the first image serves a whole thread',
    file: `${kernels}/training_images.cu`,
    from: 'crop_ = cropOf(philox_, stepOffset_, ++image_, shape_);',
    to: '++image_;',
    test: forward('imageBatch'),
  },
  {
    what: 'a block of an update goes over the next tensor’s elements',
    file: `${kernels}/training_optimizers.cu`,
    from: 'table.firstBlock[middle] <= block',
    to: 'table.firstBlock[middle] < block',
    test: forward('adamUpdate'),
  },
  {
    what: 'a sum over a block misses a barrier',
    file: `${kernels}/training_optimizers.cu`,
    from: `    __syncthreads();
    if (threadIdx.x < half) sums`,
    to: '    if (threadIdx.x < half) sums',
    test: forward('sumOfSquares'),
  },
]

const reductions = [
  {
    what: 'the lanes of a reduction are folded without a barrier',
    file: 'native/cuda/tiling.h',
    from: `    __syncthreads();
    if (row + half < lanes)`,
    to: '    if (row + half < lanes)',
    test: forward('sum'),
  },
  {
    what: 'an odd lane is left out of a fold',
    file: 'native/cuda/tiling.h',
    from: 'const int32_t half = (lanes + 1) / 2;',
    to: 'const int32_t half = lanes / 2;',
    test: forward('sum'),
  },
  {
    what: 'a row is folded over half of its lanes',
    file: `${kernels}/head.cu`,
    from: 'for (int32_t offset = lanes / 2; offset > 0;',
    to: 'for (int32_t offset = lanes / 2; offset > 1;',
    test: forward('logsumexp'),
  },
  {
    what: 'the last chunk of positions counts as a whole one',
    file: `${kernels}/norm.cu`,
    from: 'smaller(g.positions, (chunk + 1) * rowsPerChunk) - chunk * rowsPerChunk',
    to: 'rowsPerChunk',
    test: forward('batchNorm'),
  },
  {
    what: 'a product reads its slab before it is whole',
    file: `${kernels}/matmul.cu`,
    from: '__syncthreads();  // also',
    to: '// also',
    test: forward('matmul'),
  },
  {
    what: 'a product is added up without its last part',
    file: `${kernels}/matmul.cu`,
    from: 'for (int64_t part = 1; part < parts; ++part)',
    to: 'for (int64_t part = 1; part + 1 < parts; ++part)',
    test: forward('matmul'),
  },
  {
    what: 'a window of pooling ends one row early',
    file: `${kernels}/pool.cu`,
    from: 'for (Index h = 0; h < s.window; ++h)',
    to: 'for (Index h = 0; h + 1 < s.window; ++h)',
    test: forward('avgPool2d'),
  },
  {
    what: 'a wrong shape reaches past a buffer',
    file: `${kernels}/reduce.cu`,
    from: 'const T* const source = x.as<T>(xCount);\n    T* const target = y.as<T>(yCount);\n    if (yCount == 0) return;\n    switch',
    to: 'const T* const source = x.as<T>(0);\n    T* const target = y.as<T>(yCount);\n    if (yCount == 0) return;\n    switch',
    test: fuzz('reduce'),
  },
]

const heads = [
  {
    what: 'a chunk of a reduction begins where the one before it does',
    file: 'native/cuda/tiling.h',
    from: 'p.firstRow = p.chunkStart + p.row;',
    to: 'p.firstRow = p.row;',
    test: large('reductions'),
  },
  {
    what: 'the variance is taken about the first value',
    file: `${kernels}/norm.cu`,
    from: 'squares - sum * (sum / count)',
    to: 'squares',
    test: forward('batchNorm'),
  },
  {
    what: 'two groups share a shift',
    file: `${kernels}/norm.cu`,
    from: 'outer * g.groupsPerOuter + c / g.groupSize',
    to: 'outer * g.groupsPerOuter',
    test: forward('groupNorm'),
  },
  {
    what: 'the head’s logits are read before all are written',
    file: `${kernels}/head.cu`,
    from: `  __syncthreads();

  if (warp == 0) {`,
    to: '  if (warp == 0) {',
    test: forward('energyHead'),
  },
  {
    what: 'the head forgets one channel in thirty-two',
    file: `${kernels}/head.cu`,
    from: 'for (int64_t c = lane; c < s.channels; c += 32)',
    to: 'for (int64_t c = lane; c + 1 < s.channels; c += 32)',
    test: forward('energyHead'),
  },
  {
    what: 'the head’s gradient takes the sign bits of the pack before',
    file: `${kernels}/head.cu`,
    from: '>> (at % 8) : 0xffu',
    to: '>> (at % 4) : 0xffu',
    test: gradients('energyHead'),
  },
  {
    what: 'a product’s last rows are those of the next tile',
    file: `${kernels}/matmul.cu`,
    from: 'row + i * kRowsApart < rowsLeft',
    to: 'row + i * kRowsApart <= rowsLeft',
    test: fuzz('matmul'),
  },
]

const wide = (layer) => ({
  file: 'test/ops/conv2d-hopper.test.ts',
  name: `cuda: wide layers in bf16 ${layer}: outputs and gradients are the bf16 nearest to float64`,
})
const hopperKernel = `${kernels}/convolution_sm90_kernel.h`
const hopperWeight = `${kernels}/convolution_sm90_weight.cu`
const hopperPlan = `${kernels}/convolution_sm90_plan.cu`

const hopper = [
  {
    what: 'results are copied out without the fence between ordinary writes and TMA',
    file: hopperKernel,
    from: '  ptx::fenceAsyncShared();\n',
    to: '',
    test: wide('160 channels'),
  },
  {
    what: 'results are copied out before all warps have written them',
    file: hopperKernel,
    from: '  ptx::syncBarrier(1 + consumer, 128);\n',
    to: '',
    test: wide('160 channels'),
  },
  {
    what: 'a stage is freed while the last products still read it',
    file: hopperKernel,
    from: 'if (previous >= 0) release(plan, ring, previous);\n    previous = turn.slot;',
    to: 'release(plan, ring, turn.slot);\n    previous = -1;',
    test: wide('160 channels'),
  },
  {
    what: "the cluster's other block is not told that a stage is free",
    file: hopperKernel,
    from: 'ptx::arriveAt(ring.empty(slot), thread)',
    to: 'ptx::arriveAt(ring.empty(slot), ptx::clusterRank())',
    test: wide('tiles of 256 pixels in clusters'),
  },
  {
    what: 'weights are multicast to one block of two',
    file: hopperKernel,
    from: 'kBothBlocks = 3',
    to: 'kBothBlocks = 1',
    test: wide('tiles of 256 pixels in clusters'),
  },
  {
    what: "a block ends while the cluster's other one still writes to it",
    file: hopperKernel,
    from: 'arrive at its barriers.\n  if (plan.cluster == 2) {',
    to: 'arrive at its barriers.\n  if (false) {',
    test: wide('tiles of 256 pixels in clusters'),
  },
  {
    what: 'barriers are used before they are ready',
    file: hopperKernel,
    from: '  } else {\n    __syncthreads();\n  }',
    to: '  }',
    test: wide('32 channels of an odd size'),
  },
  {
    what: 'sign bits of a word are gathered from half of its lanes',
    file: hopperKernel,
    from: '          signs[h] |= __shfl_xor_sync(0xffffffffu, signs[h], 2);\n',
    to: '',
    test: wide('160 channels'),
  },
  {
    what: 'the descriptor of weights steps over half a chunk',
    file: hopperKernel,
    from: '32 * kSwizzle)',
    to: '16 * kSwizzle)',
    test: wide('160 channels'),
  },
  {
    what: 'a cut image is read at the wrong parity of rows',
    file: hopperPlan,
    from: 'partOf(column), parityOf(row)',
    to: 'partOf(column), 0',
    test: wide('a stride of 2 to more channels'),
  },
  {
    what: 'the weight gradient multiplies a stage before it has come',
    file: hopperWeight,
    from: '    ptx::waitBarrier(ring.full(turn.slot), turn.parity);\n',
    to: '',
    test: wide('160 channels'),
  },
  {
    what: 'the weight gradient leaves out the last cut of the pixels',
    file: hopperWeight,
    from: 'for (int cut = 1; cut < cuts; ++cut)',
    to: 'for (int cut = 1; cut + 1 < cuts; ++cut)',
    test: wide('160 channels'),
  },
]

export const mutants = [...memory, ...elementwise, ...randomAndTraining, ...reductions, ...heads, ...hopper]
