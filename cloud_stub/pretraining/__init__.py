"""Makes task bases (M_base): fine-tunes a device model on other people's public data, before anybody's own.

The one part of the service that borrows from the app: its trainer, its renderer and its reader of LaMP's files, which
know no store and no service. A base that learned from another template or trainer would not fit what the device does.
"""
