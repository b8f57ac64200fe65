// Stands for your ad platform's API: values in a JSON file.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

export class FilePlatform {
  constructor(file) { this.file = file; }

  async read(target, what) { return this.values()[`${target.id}/${what}`] ?? null; }

  async write(target, what, value) {
    writeFileSync(`${this.file}.new`, JSON.stringify({ ...this.values(), [`${target.id}/${what}`]: value }));
    renameSync(`${this.file}.new`, this.file);
  }

  values() { return JSON.parse(readFileSync(this.file, 'utf8')); }
}
