"""The runs of this machine as window and command line have them. `LocalDesk` is the door."""
