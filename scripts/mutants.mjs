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
const hopper = (name) => ({ file: 'native/test/emulator_convolution_sm90_test.cc', name })
const tensorCores = { file: 'native/test/emulator_convolution_test.cc', name: 'bf16 on tensor cores' }
const plain = { file: 'native/test/emulator_convolution_test.cc', name: 'f32 by plain kernels' }
const tensorCoresFolded = {
  file: 'native/test/emulator_convolution_test.cc',
  name: 'bf16 on tensor cores with a shortcut',
}
const plainFolded = { file: 'native/test/emulator_convolution_test.cc', name: 'f32 by plain kernels with a shortcut' }
const stems = { file: 'native/test/emulator_convolution_test.cc', name: 'first layers, bf16' }
const captured = {
  file: 'test/tensor/capture.test.ts',
  name: 'cuda: captured ops run at each replay, and give the bits of calling them again, random numbers included',
}
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

const sm90 = `${kernels}/convolution_sm90_kernel.h`
const sm90Ring = `${kernels}/convolution_sm90_ring.h`
const sm90Epilogue = `${kernels}/convolution_sm90_epilogue.h`
const wide = hopper('forward, 256 × 160 tiles: the layers of the wide stages, exact on whole numbers')
const parts = hopper('forward, 128 × 160 tiles, with and without each part of the epilogue')
const folded = hopper(
  'forward with a shortcut, exact on whole numbers: 256 × 160 tiles, whole and last slices of its channels',
)
const several = hopper(
  'forward: blocks that make several tiles, alone and in clusters, with pre-activations in the ring',
)

const hopperConvolutions = [
  {
    what: 'a stage is freed while its products run',
    file: sm90,
    from: `    if (previous >= 0) arriveAtAll(own, ring.empty(previous));
    previous = turn.slot;`,
    to: `    arriveAtAll(own, ring.empty(turn.slot));
    previous = -1;`,
    test: wide,
  },
  {
    what: 'sums are used before the last products are done',
    file: sm90,
    from: `  ptx::waitProducts<0>();
}`,
    to: '}',
    test: wide,
  },
  {
    what: 'products start before their stage is filled',
    file: sm90,
    from: `    ptx::waitBarrier(ring.full(turn.slot), turn.parity);
    ptx::fenceProducts();`,
    to: '    ptx::fenceProducts();',
    test: wide,
  },
  {
    what: 'the producer waits for the wrong turn of a place',
    file: sm90,
    from: `      ptx::waitClusterBarrier(ring.empty(turn.slot), turn.parity ^ 1);
      ptx::arriveExpecting(ring.full(turn.slot), Tile::kStageBytes);`,
    to: `      ptx::waitClusterBarrier(ring.empty(turn.slot), turn.parity);
      ptx::arriveExpecting(ring.full(turn.slot), Tile::kStageBytes);`,
    test: wide,
  },
  {
    what: 'a stage counts as filled without one of its boxes',
    file: sm90,
    from: `      ptx::arriveExpecting(ring.full(turn.slot), Tile::kStageBytes);
      loadWeights`,
    to: `      ptx::arriveExpecting(ring.full(turn.slot), Tile::kStageBytes - Tile::kBoxBytes);
      loadWeights`,
    test: wide,
  },
  {
    what: 'one warpgroup alone frees a stage',
    file: sm90,
    from: 'ptx::initBarrier(ring.empty(slot), readers);',
    to: 'ptx::initBarrier(ring.empty(slot), 1);',
    test: wide,
  },
  {
    what: 'barriers are used before they are made',
    file: sm90,
    from: `    __syncthreads();
  }`,
    to: '  }',
    test: wide,
  },
  {
    what: 'the steps of a stage advance by half of their bytes',
    file: sm90,
    from: 'ptx::describe<128>(box + part * 64 * 128 + step * 32)',
    to: 'ptx::describe<128>(box + part * 64 * 128 + step * 16)',
    test: wide,
  },
  {
    what: 'the taps of a column all read the same row',
    file: sm90,
    from: 'corners[box].row + tap.row',
    to: 'corners[box].row',
    test: wide,
  },
  {
    what: 'half of the sign bits are lost between lanes',
    file: sm90Epilogue,
    from: '          signs[h] |= __shfl_xor_sync(0xffffffffu, signs[h], 2);\n',
    to: '',
    test: parts,
  },
  {
    what: 'results are copied out before they are visible to the copy',
    file: sm90Epilogue,
    from: '  ptx::fenceAsyncShared();\n',
    to: '',
    test: parts,
  },
  {
    what: 'results are copied out before all warps have written them',
    file: sm90Epilogue,
    from: '  ptx::syncBarrier(1 + consumer, 128);\n',
    to: '',
    test: parts,
  },
  {
    what: 'results lie unswizzled where the copy expects them swizzled',
    file: sm90Epilogue,
    from: 'chunk * kChunkBytes + (offset ^ (offset >> 7 & 3) << 4)',
    to: 'chunk * kChunkBytes + offset',
    test: parts,
  },
  {
    what: 'a place of results is filled again while it is copied out',
    file: sm90Epilogue,
    from: '    ptx::waitStoresRead<0>();\n',
    to: '',
    test: several,
  },
  {
    what: 'a block of a cluster frees stages for itself only',
    file: sm90Ring,
    from: 'ptx::arriveAt(barrier, own.channelPartner)',
    to: 'ptx::arriveAt(barrier, own.rank)',
    test: several,
  },
  {
    what: 'stages are multicast where a partner’s results still lie',
    file: sm90,
    from: 'own.partners > 1 && tilesBefore > 0 && i == Tile::kStages - places',
    to: 'false',
    test: several,
  },
  {
    what: 'the weights of a cluster reach its first block alone',
    file: sm90,
    from: 'full, own.sameChannels, 0, row',
    to: 'full, 1, 0, row',
    test: several,
  },
  {
    what: 'pixels are multicast to the blocks with other pixels',
    file: sm90,
    from: 'ring.full(slot), own.samePixels, channel',
    to: 'ring.full(slot), own.sameChannels, channel',
    test: several,
  },
  {
    what: 'a block ends while the other one of its cluster still writes to it',
    file: sm90,
    from: 'arrive at its barriers.\n  if (blocks > 1) {',
    to: 'arrive at its barriers.\n  if (false) {',
    test: several,
  },
  {
    what: 'the descriptor of weights steps over half a chunk',
    file: sm90,
    from: '32 * kSwizzle)',
    to: '16 * kSwizzle)',
    test: wide,
  },
  {
    what: 'a cut image is read at the wrong parity of rows',
    file: `${kernels}/convolution_sm90_plan.cu`,
    from: 'partOf(column), parityOf(row)',
    to: 'partOf(column), 0',
    test: hopper('forward, stride 2: cut images'),
  },
  {
    what: 'the weight gradient multiplies a stage before it has come',
    file: `${kernels}/convolution_sm90_weight.cu`,
    from: '    ptx::waitBarrier(ring.full(turn.slot), turn.parity);\n',
    to: '',
    test: hopper('weight gradient, exact on whole numbers, for any number of cuts'),
  },
  {
    what: 'a shortcut’s pixels are those of the convolution',
    file: sm90,
    from: 'at.shortcut ? &plan.shortcut : &plan.source',
    to: '&plan.source',
    test: folded,
  },
  {
    what: 'a shortcut’s pixels are multiplied by the convolution’s weights',
    file: sm90,
    from: 'at.shortcut ? &plan.shortcutWeights : &plan.weights',
    to: '&plan.weights',
    test: folded,
  },
  {
    what: 'a shortcut reads the pixels under the first tap',
    file: sm90,
    from: 'shortcut ? Tap{} : plan.taps',
    to: 'plan.taps',
    test: folded,
  },
  {
    what: 'a shortcut begins at the channel at which the convolution ends',
    file: sm90,
    from: `      shortcut = true;
      k = 0;`,
    to: '      shortcut = true;',
    test: folded,
  },
  {
    what: 'the last channels of a shortcut are not multiplied',
    file: sm90,
    from: 'consumer, plan.shortcutK, 1,',
    to: 'consumer, plan.shortcutK - 16, 1,',
    test: folded,
  },
  {
    what: 'a block of a cluster counts the stages of its tile without the shortcut’s',
    file: `${kernels}/convolution_sm90_plan.h`,
    from: 'return phase.taps * slicesOf(plan.k) + slicesOf(plan.shortcutK);',
    to: 'return phase.taps * slicesOf(plan.k);',
    test: folded,
  },
  {
    what: 'a shortcut’s weights are loaded before the launch that writes them has ended',
    file: `${kernels}/convolution_sm90.cu`,
    from: ' && (!job.shortcut.x || stream.settled(job.shortcut.weight))',
    to: '',
    test: hopper("a shortcut's weights are not loaded ahead of the launch that writes them"),
  },
  {
    what: 'a shortcut of stride 2 is cut as if it had the convolution’s channels',
    file: `${kernels}/convolution_sm90.cu`,
    from: 'image.base = job.shortcut.x, image.channels = job.shortcut.channels;',
    to: 'image.base = job.shortcut.x;',
    test: hopper('forward with a shortcut at stride 2: both images cut, in narrow tiles as well'),
  },
  {
    what: 'a stage of the weight gradient is freed while its products run',
    file: `${kernels}/convolution_sm90_weight.cu`,
    from: 'arriveAtAll(own, ring.empty(previous));',
    to: 'arriveAtAll(own, ring.empty(turn.slot));',
    test: hopper('weight gradient, exact on whole numbers, for any number of cuts'),
  },
  {
    what: 'the cuts of a weight gradient are added up without the last',
    file: `${kernels}/convolution_sm90_weight.cu`,
    from: 'for (int cut = 1; cut < cuts; ++cut)',
    to: 'for (int cut = 1; cut + 1 < cuts; ++cut)',
    test: hopper('weight gradient, exact on whole numbers, for any number of cuts'),
  },
  {
    what: 'phases of a gradient of stride 2 take the taps of the next',
    file: `${kernels}/convolution_sm90.cu`,
    from: 'if (dy % s.stride != 0 || dx % s.stride != 0) continue;',
    to: 'if (dy % s.stride != 0 || (dx + 1) % s.stride != 0) continue;',
    test: hopper('input gradient, stride 2: phases of 1, 2, 2 and 4 taps'),
  },
  {
    what: 'the rows of ones that give dbias are not shown to the matrix units',
    file: `${kernels}/convolution_sm90_weight.cu`,
    from: '  ptx::fenceAsyncShared();\n',
    to: '',
    test: hopper('weight gradient, exact on whole numbers, for any number of cuts'),
  },
]

const otherConvolutions = [
  {
    what: 'products read a stage whose copies are under way',
    file: `${kernels}/product_sm80.h`,
    from: 'ptx::waitCopies<Tile::stages - 2>();',
    to: 'ptx::waitCopies<Tile::stages - 1>();',
    test: tensorCores,
  },
  {
    what: 'a stage is overwritten while other warps still read it',
    file: `${kernels}/product_sm80.h`,
    from: '__syncthreads();  // this',
    to: '// this',
    test: tensorCores,
  },
  {
    what: 'a shortcut’s first stages overwrite the convolution’s last, which other warps still read',
    file: `${kernels}/product_sm80.h`,
    from: `    ptx::waitCopies<0>();
    __syncthreads();
`,
    to: '    ptx::waitCopies<0>();\n',
    test: tensorCoresFolded,
  },
  {
    what: 'the sums of a convolution are lost where its shortcut begins',
    file: `${kernels}/convolution_simt.cu`,
    from: '    multiply<P, Q>(left, right, g.inner(), sums);\n  }',
    to: '    clear(sums);\n    multiply<P, Q>(left, right, g.inner(), sums);\n  }',
    test: plainFolded,
  },
  {
    what: 'the bias of a shortcut is the convolution’s',
    file: `${kernels}/convolution_epilogue.h`,
    from: 'addChannels<n, whole>(shortcutBias, channel, z)',
    to: 'addChannels<n, whole>(bias, channel, z)',
    test: plainFolded,
  },
  {
    what: 'pixels left of the image are read from the row before',
    file: `${kernels}/convolution_sm80.cu`,
    from: 'static_cast<unsigned>(left) < static_cast<unsigned>(s.width);',
    to: 'left < s.width;',
    test: tensorCores,
  },
  {
    what: 'the input gradient to few channels takes its taps unturned',
    file: `${kernels}/convolution_halo_sm80.cu`,
    from: 'kTaps - 1 - (3 * u + v)',
    to: '(3 * u + v)',
    test: tensorCores,
  },
  {
    what: 'a stage of pixels is overwritten while other warps still read it',
    file: `${kernels}/convolution_halo_sm80.cu`,
    from: '      __syncthreads();  // the stage is free\n',
    to: '',
    test: tensorCores,
  },
  {
    what: 'a plain product writes a tile that is still read',
    file: `${kernels}/convolution_simt.cu`,
    from: 'left.store(leftTiles[(step + 1) % 2])',
    to: 'left.store(leftTiles[step % 2])',
    test: plain,
  },
  {
    what: 'the weights of a first layer are used before they are all there',
    file: `${kernels}/convolution_stem.cu`,
    from: '  __syncthreads();\n',
    to: '',
    test: stems,
  },
  {
    what: 'the parts of a weight gradient are added up without the last',
    file: `${kernels}/convolution_weight_sums.h`,
    from: 'for (int p = 1; p < count; ++p)',
    to: 'for (int p = 1; p + 1 < count; ++p)',
    test: plain,
  },
]

const replays = [
  {
    what: 'every replay of a graph draws the same noise',
    file: `${kernels}/training.cu`,
    from: 'randomNormals(philox, *stepOffset, begin',
    to: 'randomNormals(philox, 0, begin',
    test: captured,
  },
]

export const mutants = [
  ...hopperConvolutions,
  ...otherConvolutions,
  ...replays,
  ...memory,
  ...elementwise,
  ...randomAndTraining,
  ...reductions,
  ...heads,
]
