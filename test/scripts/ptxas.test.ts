import { describe, expect, it } from 'vitest'

const { differingRows, occupancy, parsePtx, parseResources, problemsOf, readableNames, shortName } = await import(
  new URL('../../scripts/ptxas.mjs', import.meta.url).href
)

// As nvcc 13.0 prints it; the spills, the note and the names were changed by hand.
const output = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN8langevin4cuda36_GLOBAL__N__1ae44e83_4_t_cu_38f9f1f33hotILi256EfEEvPT0_PKi' for 'sm_80'
ptxas info    : Function properties for _ZN8langevin4cuda36_GLOBAL__N__1ae44e83_4_t_cu_38f9f1f33hotILi256EfEEvPT0_PKi
    0 bytes stack frame, 16 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 96 registers, used 2 barriers, 1024 bytes smem, 368 bytes cmem[0]
ptxas info    : Compile time = 24.439 ms
ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to a function call
ptxas info    : Compiling entry function '_Z5plainPf' for 'sm_90a'
ptxas info    : Function properties for _Z5plainPf
    256 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
`

describe('what the compiler says of a kernel', () => {
  const { kernels, notes } = parseResources(output)

  it('is read whole', () => {
    expect(kernels).toEqual([
      {
        mangled: expect.stringContaining('hot'),
        architecture: 'sm_80',
        ...{ registers: 96, barriers: 2, sharedBytes: 1024 },
        ...{ stackBytes: 0, spillStoreBytes: 16, spillLoadBytes: 24 },
      },
      {
        mangled: '_Z5plainPf',
        architecture: 'sm_90a',
        ...{ registers: 10, barriers: 0, sharedBytes: 0 },
        ...{ stackBytes: 256, spillStoreBytes: 0, spillLoadBytes: 0 },
      },
    ])
    expect(readableNames(kernels.map(({ mangled }: { mangled: string }) => mangled))).toEqual([
      'hot<256, float>',
      'plain',
    ])
    expect(shortName('void langevin::cuda::(anonymous namespace)::f<int (*)(int), (Kind)3>(float*)')).toBe(
      'f<int (*)(int), (Kind)3>',
    )
  })

  it('fails the build where a hot kernel spills, has a stack frame or is gone, and where wgmma is serialised', () => {
    const named = [
      { ...kernels[0], name: 'hot<256, float>' },
      { ...kernels[1], name: 'plain' },
    ]
    expect(problemsOf(named, notes, [/^hot/])).toEqual([
      expect.stringMatching(/^C7510 \(wgmma products are serialised\)/),
      'hot<256, float> for sm_80 spills: 16 bytes stored, 24 loaded',
    ])
    expect(problemsOf(named, [], [/^plain/, /^gone/])).toEqual([
      'plain for sm_90a has a stack frame of 256 bytes',
      'no kernel is named /^gone/',
    ])
    expect(problemsOf([{ ...named[1], stackBytes: 0 }], [], [/^plain/])).toEqual([])
  })

  it('and of its threads and dynamic shared memory, in the PTX', () => {
    const ptx = `.extern .shared .align 1024 .b8 _ZN1a6memoryE[];
.visible .entry _Z3fooPf(
	.param .u64 _Z3fooPf_param_0
)
.maxntid 128, 2, 1
.minnctapersm 2
{
	mov.u32 %r1, _ZN1a6memoryE;
	ret;
}
.visible .entry _Z3barPf(
	.param .u64 _Z3barPf_param_0
)
{
	ret;
}
`
    expect([...parsePtx(ptx)]).toEqual([
      ['_Z3fooPf', { threads: 256, usesDynamicShared: true }],
      ['_Z3barPf', { threads: undefined, usesDynamicShared: false }],
    ])
  })
})

describe('dynamic shared memory', async () => {
  const { dynamicSharedBytes } = await import(new URL('../../scripts/dynamic-shared.mjs', import.meta.url).href)

  // Expected: by hand, from what a stage holds.
  it.each([
    // Four stages of (256 + 160) rows of 64 bf16, and nine barriers of 8 bytes.
    ['sm90::convolve<sm90::Tile<2, 160, 4, 1>, (sm90::Pass)0>', 4 * (256 + 160) * 64 * 2 + 9 * 8],
    ['sm90::weightGradient<sm90::Tile<1, 32, 5, 2> >', 5 * (128 + 32) * 64 * 2 + 11 * 8],
    // Rows of 64 bytes; lines of 160 bf16 and 16 bytes, 32 of them.
    ['sm80::convolveForward<bf16, sm80::Tile<128, 160, 32, 80> >', 4 * (128 * 64 + 32 * (320 + 16))],
    ['sm80::convolveBackwardInput<float, sm80::Tile<64, 64, 32, 32> >', 4 * (64 + 64) * 64],
    ['sm80::convolveBackwardWeight<float, sm80::Tile<64, 64, 32, 32> >', 4 * 2 * 16 * (256 + 32)],
    ['stem::convolveForward<float, 3>', 4 * 3 * 3 * 3 * 16],
    ['accumulateKernel<float>', undefined],
  ])('%s', (name, bytes) => {
    expect(dynamicSharedBytes(name)).toBe(bytes)
  })
})

// Expected: NVIDIA's occupancy calculator's arithmetic, worked by hand from the limits in the programming guide.
describe('occupancy', () => {
  it.each([
    // 8 warps × 32 × 96 registers = 24,576 of 65,536: 2 blocks.
    [
      { architecture: 'sm_80', registers: 96, sharedBytes: 0, threads: 256 },
      { blocks: 2, share: 0.25, limit: 'registers' },
    ],
    [
      { architecture: 'sm_80', registers: 32, sharedBytes: 0, threads: 256 },
      { blocks: 8, share: 1, limit: 'threads' },
    ],
    // 33 · 32 = 1056 registers a warp, given as 1280; 65,536 / (8 · 1280) = 6.
    [
      { architecture: 'sm_80', registers: 33, sharedBytes: 0, threads: 256 },
      { blocks: 6, share: 0.75, limit: 'registers' },
    ],
    [
      { architecture: 'sm_90a', registers: 16, sharedBytes: 0, threads: 32 },
      { blocks: 32, share: 0.5, limit: 'blocks' },
    ],
    // 208 KiB of 228, and 1 KiB for the runtime.
    [
      { architecture: 'sm_90a', registers: 168, sharedBytes: 208 * 1024, threads: 384 },
      { blocks: 1, share: 0.1875, limit: 'registers' },
    ],
    [
      { architecture: 'sm_90a', registers: 40, sharedBytes: 75 * 1024, threads: 128 },
      { blocks: 3, share: 0.1875, limit: 'shared memory' },
    ],
  ])('%j', (kernel, expected) => {
    expect(occupancy(kernel)).toEqual(expected)
  })
})

describe('the committed table beside a new one', () => {
  const head =
    '| kernel | instances | threads | sm_80: registers | shared | spills | occupancy |\n|---|---:|---:|---:|---:|---:|---|\n'
  const table = (...cells: unknown[]) => `${head}| \`hot\` | 1 | 256 | ${cells.join(' | ')} |\n`

  it('may be a few registers apart, and in the occupancy that follows', () => {
    const written = table(127, 1024, 0, '2, 25 % (registers)')
    expect(differingRows(written, written)).toEqual([])
    expect(differingRows(written, table(130, 1024, 0, '1, 13 % (registers)'))).toEqual([])
    expect(differingRows(table('96–127', 0, 0, '2'), table('90–130', 0, 0, '1–2'))).toEqual([])
  })

  it('differs in anything else', () => {
    const written = table(127, 1024, 0, '2')
    for (const other of [
      table(136, 1024, 0, '1'),
      table(127, 2048, 0, '2'),
      table(127, 1024, 8, '2'),
      table('96–127', 1024, 0, '2'),
      head,
    ]) {
      expect(differingRows(written, other)).not.toEqual([])
      expect(differingRows(other, written)).not.toEqual([])
    }
    expect(differingRows(written, written.replace('hot', 'new'))).toEqual([
      `- ${written.split('\n')[2]}\n+ ${written.split('\n')[2]?.replace('hot', 'new')}`,
    ])
  })
})
