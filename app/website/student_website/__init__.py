"""The POZOS student_list website: one page that lists the students."""
