// Results as a JSON document that survives being cut off, and figures that may be missing.
import { renameSync, writeFileSync } from 'node:fs'

/** What `ask` answers, or { error } where it failed: one figure that is missing must not cost the others. */
export async function attempt(ask) {
  try {
    return await ask()
  } catch (error) {
    log(`  ${error.message}`)
    return { error: error.message }
  }
}

export const log = (line) => process.stderr.write(`${line}\n`)

/** A document that is written anew after every row, so that a run which is cut off keeps what it has. */
export class Results {
  #path
  #document

  constructor(path, about) {
    this.#path = path
    this.#document = { ...about, rows: [] }
  }

  add(row) {
    this.#document.rows.push(row)
    this.#write()
  }

  set(key, value) {
    this.#document[key] = value
    this.#write()
  }

  #write() {
    const text = `${JSON.stringify(this.#document, null, 2)}\n`
    if (!this.#path) return
    writeFileSync(`${this.#path}.part`, text)
    renameSync(`${this.#path}.part`, this.#path)
  }
}
