"""Stands for your ad platform's API: values in a JSON file."""
import json, os

class FilePlatform:
    def __init__(self, file):
        self.file = file

    def read(self, target, what):
        return json.load(open(self.file)).get(f"{target['id']}/{what}")

    def write(self, target, what, value):
        values = {**json.load(open(self.file)), f"{target['id']}/{what}": value}
        with open(self.file + ".new", "w") as f:
            json.dump(values, f)
        os.replace(self.file + ".new", self.file)
