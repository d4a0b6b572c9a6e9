"""What the desktop offers an application: notifications, start at login. No Qt."""
