import { describe, expect, it } from 'vitest'

const { compare } = await import(new URL('../../scripts/instruction-counts.mjs', import.meta.url).href)

describe('a kernel that needs more instructions', () => {
  const baseline = { conv2d: 1_000_000, sgldUpdate: 200_000 }

  it('than 10 % over the baseline fails, and is named', () => {
    const { ok, text } = compare({ conv2d: 1_100_001, sgldUpdate: 200_000 }, baseline)
    expect(ok).toBe(false)
    expect(text).toMatch(/^FAILED conv2d: 1100001 instructions, \+10\.0 % against 1000000$/m)
    expect(text).toMatch(/^ok +sgldUpdate/m)
  })

  it('within 10 %, or fewer, passes', () => {
    expect(compare({ conv2d: 1_100_000, sgldUpdate: 100_000 }, baseline)).toMatchObject({ ok: true })
  })

  it('and has no baseline fails', () => {
    expect(compare({ matmul: 1 }, baseline)).toMatchObject({ ok: false })
  })
})
