// The protocol of src/cli/peer.ts for competitors in JavaScript: one JSON object a line in, one out; the first line that is
// written says what this is.
import { createInterface } from 'node:readline'

export async function serve(about, commands) {
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)
  say(about)
  for await (const line of createInterface(process.stdin)) {
    const { do: name, ...request } = JSON.parse(line)
    try {
      say((await commands[name](request)) ?? {})
    } catch (error) {
      say({ error: error.message })
    }
  }
}

/** Calls `call` in groups of `steps` until `seconds` are over. */
export async function repeated(call, { seconds, steps }) {
  let done = 0
  const start = process.hrtime.bigint()
  let elapsed = 0
  do {
    await call(steps)
    done += steps
    elapsed = Number(process.hrtime.bigint() - start) / 1e9
  } while (elapsed < seconds)
  return { steps: done, seconds: elapsed }
}
